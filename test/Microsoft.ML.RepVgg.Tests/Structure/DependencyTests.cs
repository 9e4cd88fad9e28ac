using System.Reflection;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Structure;

/// <summary>Dependencies point one way: Microsoft.ML.RepVgg -> RepVgg.TorchSharp -> RepVgg, and each package is used in one place.</summary>
public sealed class DependencyTests
{
    private const string Engine = "RepVgg";
    private const string Torch = "RepVgg.TorchSharp";
    private const string Face = "Microsoft.ML.RepVgg";

    private static string[] References(string assembly) =>
        [.. Assembly.Load(assembly).GetReferencedAssemblies().Select(name => name.Name!)];

    [Fact]
    public void The_engine_needs_nothing_but_dotnet() =>
        Assert.All(References(Engine), name => Assert.True(IsDotNet(name), $"{Engine} references {name}."));

    [Fact]
    public void The_TorchSharp_backend_references_the_engine_and_TorchSharp_only() =>
        Assert.All(References(Torch), name => Assert.True(IsDotNet(name) || name is Engine or "TorchSharp", $"{Torch} references {name}."));

    [Fact]
    public void MLNets_face_does_not_touch_TorchSharp()
    {
        Assert.DoesNotContain("TorchSharp", References(Face));
        Assert.Contains(Torch, References(Face));
        Assert.All(References(Face), name => Assert.True(
            IsDotNet(name) || name is Engine or Torch or "SkiaSharp" || name.StartsWith("Microsoft.ML.", StringComparison.Ordinal),
            $"{Face} references {name}."));
    }

    [Fact]
    public void Public_types_of_the_face_live_where_MLNet_users_look()
    {
        foreach (var type in Assembly.Load(Face).GetExportedTypes())
            Assert.True(type.Namespace is "Microsoft.ML" or "Microsoft.ML.RepVgg" or "Microsoft.ML.RepVgg.Reports", type.FullName);
        foreach (var type in Assembly.Load(Engine).GetExportedTypes())
            Assert.StartsWith("RepVgg", type.Namespace);
    }

    private static bool IsDotNet(string name) => name.StartsWith("System.", StringComparison.Ordinal) || name is "mscorlib" or "netstandard";
}
