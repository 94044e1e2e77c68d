"""From a spec to a labelled set: engines on any executor, filters, further attempts, export."""
