using RepVgg.Testing;
using RepVgg.TorchSharp;

namespace RepVgg.TorchSharp.Tests;

/// <summary>The TorchSharp backend on libtorch's CPU device, rows first in memory.</summary>
[NeedsTorchSharp]
public class TorchSharpBackendTests() : BackendTests(TorchBackends.Create(new TorchBackendOptions { Threads = 2, SelfTest = false }));

/// <summary>The TorchSharp backend with channels last in memory, as it runs on CUDA.</summary>
[NeedsTorchSharp]
public class TorchSharpChannelsLastTests() : BackendTests(TorchBackends.Create(new TorchBackendOptions { Threads = 2, SelfTest = false, ChannelsLast = true }));
