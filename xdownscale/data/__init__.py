"""Where data come from: readers, the nature run, the bundled sample."""
