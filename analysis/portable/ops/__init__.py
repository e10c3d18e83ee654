"""Operations of files, packs and shelves."""
