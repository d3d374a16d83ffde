"""Development tools: benchmarks, and a soak test that kills trainings at random."""
