using RepVgg.Testing;

namespace RepVgg.Samples.Tests;

public class SamplesRules() : AssemblyRules("RepVgg.Samples");
