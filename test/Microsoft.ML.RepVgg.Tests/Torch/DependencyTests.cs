using RepVgg.Backends;
using RepVgg.TorchSharp;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Torch;

public class DependencyTests
{
    [Fact]
    public void Only_RepVgg_TorchSharp_touches_TorchSharp()
    {
        Assert.DoesNotContain("TorchSharp", References(typeof(Backend)));
        Assert.DoesNotContain("TorchSharp", References(typeof(RepVggTrainer)));
        Assert.Contains("RepVgg.TorchSharp", References(typeof(RepVggTrainer)));
        Assert.DoesNotContain(References(typeof(Backend)), name => name.StartsWith("Microsoft.ML", StringComparison.Ordinal) || name == "RepVgg.TorchSharp");
        Assert.DoesNotContain(References(typeof(TorchBackends)), name => name.StartsWith("Microsoft.ML", StringComparison.Ordinal));
    }

    private static string[] References(Type type) => [.. type.Assembly.GetReferencedAssemblies().Select(name => name.Name!)];
}
