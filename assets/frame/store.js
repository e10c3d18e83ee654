/* Dash's store tells each component of each change, also of those that concern none: a component that has been drawn
   takes a mark off (layoutHashes), and with 850 components that are 850 times 850 looks, seconds of a page's opening.
   Here a change of marks alone is told once for all that are drawn together, and what changed nothing is not told. */
(() => {
  const MARKS = "layoutHashes";

  function calm(store) {
    const subscribe = store.subscribe;
    store.subscribe = (listener) => {
      let told = store.getState();
      let waits = false;
      const tell = () => {
        waits = false;
        told = store.getState();
        listener();
      };
      return subscribe(() => {
        const now = store.getState();
        if (now === told) return;
        if (Object.keys(now).some((part) => part !== MARKS && now[part] !== told[part])) tell();
        else if (!waits) {
          waits = true;
          queueMicrotask(() => waits && tell());
        }
      });
    };
  }

  // Dash puts each store that it makes into this list, before anything listens to it.
  const stores = window.dash_stores || [];
  stores.push = (...made) => {
    made.forEach(calm);
    return Array.prototype.push.apply(stores, made);
  };
  window.dash_stores = stores;
})();
