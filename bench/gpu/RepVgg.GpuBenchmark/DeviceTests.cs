using System.Reflection;
using RepVgg.Testing;
using RepVgg.TorchSharp;
using Xunit.Sdk;

namespace RepVgg.GpuBenchmark;

/// <summary>The tests that every backend passes, on the device, in single precision. They run without a test runner, which would not fit into the published folder.</summary>
public sealed class DeviceTests() : BackendTests(TorchBackends.Create(Options with { SelfTest = false, AllowTf32 = false }))
{
    internal static TorchBackendOptions Options { get; set; } = new();

    /// <summary>Runs all tests.</summary>
    /// <param name="failed">Receives the name and the message of each test that fails.</param>
    /// <returns>Number of tests.</returns>
    internal static int RunAll(Action<string, string> failed)
    {
        int count = 0;
        foreach (var method in typeof(DeviceTests).GetMethods(BindingFlags.Public | BindingFlags.Instance).OrderBy(method => method.Name, StringComparer.Ordinal))
        {
            if (method.GetCustomAttribute<Xunit.FactAttribute>() is not { } fact)
                continue;
            foreach (object?[] arguments in fact is Xunit.TheoryAttribute ? Data(method) : [[]])
            {
                count++;
                try
                {
                    using var tests = new DeviceTests();
                    var result = method.Invoke(tests, arguments);
                    (result as Task)?.GetAwaiter().GetResult();
                }
                catch (TargetInvocationException exception)
                {
                    failed($"{method.Name}({string.Join(", ", arguments)})", exception.InnerException!.Message);
                }
            }
        }
        return count;
    }

    private static IEnumerable<object?[]> Data(MethodInfo method) => method.GetCustomAttributes<DataAttribute>().SelectMany(attribute => attribute.GetData(method));
}
