using RepVgg.Backends.Cpu;
using RepVgg.Testing;

namespace RepVgg.Tests.Backends;

/// <summary>The CPU backend, on more threads than the smallest machine has.</summary>
public class CpuBackendTests() : BackendTests(new CpuBackend(threads: 3));
