using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Switches off the telemetry of ONNX Runtime, which the transformers of saved models use.</summary>
/// <remarks>
/// On Linux and macOS, ONNX Runtime sends events to a host on the internet. It decides that when its native library is loaded,
/// by an environment variable of the process; its API stops most events later, but not the uploader. The variable is therefore
/// set when this assembly is first used, by the C library's setenv, because .NET changes only its own copy of the environment. If
/// the application loaded ONNX Runtime before that, only the API is left.
/// Before version 2.41 of glibc, setenv is not safe while native code of another thread reads the environment (getenv): an
/// application with native threads should set the variable before its process starts. setenv is then called with the same value.
/// </remarks>
internal static partial class OnnxRuntimeTelemetry
{
    private const string Variable = "ORT_DISABLE_TELEMETRY";

    /// <summary>Sets the environment variable. A value that the application or the user has set is kept, and also set for native code.</summary>
    [ModuleInitializer]
    [SuppressMessage("Usage", "CA2255", Justification = "The variable must be set before the application loads ONNX Runtime, for example by loading a model with ML.NET's own methods.")]
    internal static void SetVariable()
    {
        string value = Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } given ? given : "1";
        Environment.SetEnvironmentVariable(Variable, value);
        if (OperatingSystem.IsWindows())
            return;
        try
        {
            _ = SetNativeVariable(Variable, value, overwrite: 1);
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException)
        {
        }
    }

    /// <summary>Switches events off in the environment of ONNX Runtime, which is created if the application has not created it.</summary>
    public static void DisableEvents() => OrtEnv.Instance().DisableTelemetryEvents();

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetNativeVariable(string name, string value, int overwrite);
}
