"""Engine, store, clients and mishaps in one process: no time, no threads, every choice drawn from one seed."""
