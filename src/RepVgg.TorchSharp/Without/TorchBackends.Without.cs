using RepVgg.Backends;

namespace RepVgg.TorchSharp;

public static partial class TorchBackends
{
    private static partial Backend CreateUntested(TorchBackendOptions options) => throw new DeviceUnavailableException(
        "RepVgg.TorchSharp was built without TorchSharp (see TorchSharpSource in the README).");
}
