using RepVgg.Testing;

namespace RepVgg.Reliability.Tests;

public class ReliabilityRules() : AssemblyRules("RepVgg.Reliability.Tests");
