using RepVgg.Testing;

namespace RepVgg.TorchSharp.Tests;

public class TorchSharpBackendRules() : AssemblyRules("RepVgg.TorchSharp");
