using RepVgg.KernelBenchmarks;

KernelBenchmark.Run(args);
