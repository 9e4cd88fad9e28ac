using RepVgg.Backends;

namespace RepVgg.TorchSharp;

public static partial class TorchBackends
{
    private static partial Backend CreateUntested(TorchBackendOptions options) => throw new DeviceUnavailableException(
        "This build of RepVgg.TorchSharp was made without TorchSharp, so it can train on the CPU backend only. Build it where the package feed carries TorchSharp, or with -p:TorchSharpSource=assemblies.");
}
