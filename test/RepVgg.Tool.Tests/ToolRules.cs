using RepVgg.Testing;

namespace RepVgg.Tool.Tests;

public class ToolRules() : AssemblyRules("RepVgg.Tool");

public class SamplesRules() : AssemblyRules("RepVgg.Samples");
