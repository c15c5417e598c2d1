"""Where rows come from: files, globs, object stores, SQL, Delta tables and frames, each as a `Reading`."""
