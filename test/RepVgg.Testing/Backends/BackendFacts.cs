using Xunit;
using Xunit.Abstractions;
using Xunit.Sdk;

namespace RepVgg.Testing;

/// <summary>On a class that runs a shared test body: what it needs. Where that is missing, its tests are reported as skipped.</summary>
[AttributeUsage(AttributeTargets.Class)]
public abstract class RequirementAttribute : Attribute
{
    /// <summary>The reason to skip; null where the requirement is met.</summary>
    public abstract string? SkipReason { get; }
}

/// <summary>A fact of a body that is shared by all backends.</summary>
[AttributeUsage(AttributeTargets.Method)]
[XunitTestCaseDiscoverer("RepVgg.Testing.BackendFactDiscoverer", "RepVgg.Testing")]
public sealed class BackendFactAttribute : FactAttribute;

/// <summary>A theory of a body that is shared by all backends.</summary>
[AttributeUsage(AttributeTargets.Method)]
[XunitTestCaseDiscoverer("RepVgg.Testing.BackendTheoryDiscoverer", "RepVgg.Testing")]
public sealed class BackendTheoryAttribute : TheoryAttribute;

/// <summary>Discovers facts, and skips them where their class needs what is not there.</summary>
public sealed class BackendFactDiscoverer(IMessageSink diagnostics) : FactDiscoverer(diagnostics)
{
    protected override IXunitTestCase CreateTestCase(ITestFrameworkDiscoveryOptions discoveryOptions, ITestMethod testMethod, IAttributeInfo factAttribute) =>
        Skipped(DiagnosticMessageSink, discoveryOptions, testMethod) ?? base.CreateTestCase(discoveryOptions, testMethod, factAttribute);

    internal static IXunitTestCase? Skipped(IMessageSink diagnostics, ITestFrameworkDiscoveryOptions options, ITestMethod method)
    {
        var requirements = method.TestClass.Class.GetCustomAttributes(typeof(RequirementAttribute)).Cast<ReflectionAttributeInfo>().Select(info => (RequirementAttribute)info.Attribute);
        return requirements.Select(requirement => requirement.SkipReason).FirstOrDefault(reason => reason is not null) is { } reason
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
