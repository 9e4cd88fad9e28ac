using RepVgg.Testing;

namespace RepVgg.Tests.Structure;

public class EngineRules() : AssemblyRules("RepVgg");
