using RepVgg.KernelBenchmarks;

KernelBenchmark.Run();
