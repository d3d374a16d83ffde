"""Development tools: benchmarks, a profiler, and a soak test that kills trainings at random."""
