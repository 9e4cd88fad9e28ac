using RepVgg.Testing;

namespace RepVgg.Samples.Web.Tests;

public class WebRules() : AssemblyRules("RepVgg.Samples.Web");
