using RepVgg.Testing;

namespace Microsoft.ML.RepVgg.Tests.Structure;

public class MLNetRules() : AssemblyRules("Microsoft.ML.RepVgg");
