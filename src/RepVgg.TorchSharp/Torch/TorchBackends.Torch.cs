using System.Runtime.CompilerServices;
using RepVgg.Backends;

namespace RepVgg.TorchSharp;

public static partial class TorchBackends
{
    private static partial Backend CreateUntested(TorchBackendOptions options)
    {
        TorchRuntime.Require(options.CudaDevice);
        return Make(options);
    }

    // Apart, so that nothing of TorchSharp is loaded before the checks.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Backend Make(TorchBackendOptions options) => new TorchBackend(options);
}
