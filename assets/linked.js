// A page whose link named a model that was not loaded: once it is, the same address is opened again.
window.dash_clientside = Object.assign({}, window.dash_clientside, {
  attune_linked: {
    again: function (loaded) {
      if (loaded) window.location.reload();
      return window.dash_clientside.no_update;
    },
  },
});
