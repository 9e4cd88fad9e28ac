using System.Runtime.InteropServices;
using RepVgg.TorchSharp;
using Xunit;
using Xunit.Abstractions;
using Xunit.Sdk;

namespace Microsoft.ML.RepVgg.Tests.Support;

/// <summary>Whether TorchSharp is there; where it is not, its tests are reported as skipped with the reason.</summary>
internal static class TorchSharpTests
{
    private static readonly Lazy<string?> _skip = new(() =>
    {
        try
        {
            TorchBackends.Create(new TorchBackendOptions { SelfTest = false }).Dispose();
            return null;
        }
        catch (DeviceUnavailableException exception)
        {
            return exception.Message;
        }
    });

    /// <summary>The reason to skip; null where TorchSharp can be used.</summary>
    public static string? Skip => _skip.Value;
}

/// <summary>A fact that needs TorchSharp.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class TorchSharpFactAttribute : FactAttribute
{
    public TorchSharpFactAttribute() => Skip = TorchSharpTests.Skip;
}

/// <summary>A fact that needs TorchSharp over glibc.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class TorchSharpOnGlibcFactAttribute : FactAttribute
{
    public TorchSharpOnGlibcFactAttribute() =>
        Skip = TorchSharpTests.Skip ?? (OperatingSystem.IsLinux() && NativeLibrary.TryLoad("libc.so.6", out _) ? null : "The C library is not glibc.");
}

/// <summary>A theory that needs TorchSharp.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class TorchSharpTheoryAttribute : TheoryAttribute
{
    public TorchSharpTheoryAttribute() => Skip = TorchSharpTests.Skip;
}

/// <summary>Marks a class that runs a shared test body on TorchSharp.</summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class NeedsTorchSharpAttribute : Attribute;

/// <summary>A fact of a body that is shared by all backends.</summary>
[AttributeUsage(AttributeTargets.Method)]
[XunitTestCaseDiscoverer("Microsoft.ML.RepVgg.Tests.Support.BackendFactDiscoverer", "Microsoft.ML.RepVgg.Tests")]
public sealed class BackendFactAttribute : FactAttribute;

/// <summary>A theory of a body that is shared by all backends.</summary>
[AttributeUsage(AttributeTargets.Method)]
[XunitTestCaseDiscoverer("Microsoft.ML.RepVgg.Tests.Support.BackendTheoryDiscoverer", "Microsoft.ML.RepVgg.Tests")]
public sealed class BackendTheoryAttribute : TheoryAttribute;

/// <summary>Discovers facts, and skips them where their class needs what is not there.</summary>
public sealed class BackendFactDiscoverer(IMessageSink diagnostics) : FactDiscoverer(diagnostics)
{
    protected override IXunitTestCase CreateTestCase(ITestFrameworkDiscoveryOptions discoveryOptions, ITestMethod testMethod, IAttributeInfo factAttribute) =>
        Skipped(DiagnosticMessageSink, discoveryOptions, testMethod) ?? base.CreateTestCase(discoveryOptions, testMethod, factAttribute);

    internal static IXunitTestCase? Skipped(IMessageSink diagnostics, ITestFrameworkDiscoveryOptions options, ITestMethod method)
    {
        bool needed = method.TestClass.Class.GetCustomAttributes(typeof(NeedsTorchSharpAttribute)).Any();
        return needed && TorchSharpTests.Skip is { } reason
            ? new XunitSkippedDataRowTestCase(diagnostics, options.MethodDisplayOrDefault(), options.MethodDisplayOptionsOrDefault(), method, reason)
            : null;
    }
}

/// <summary>Discovers theories, and skips them where their class needs what is not there.</summary>
public sealed class BackendTheoryDiscoverer(IMessageSink diagnostics) : TheoryDiscoverer(diagnostics)
{
    public override IEnumerable<IXunitTestCase> Discover(ITestFrameworkDiscoveryOptions discoveryOptions, ITestMethod testMethod, IAttributeInfo theoryAttribute) =>
        BackendFactDiscoverer.Skipped(DiagnosticMessageSink, discoveryOptions, testMethod) is { } skipped
            ? [skipped]
            : base.Discover(discoveryOptions, testMethod, theoryAttribute);
}
