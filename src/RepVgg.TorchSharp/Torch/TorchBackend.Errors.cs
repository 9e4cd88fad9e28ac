using System.Runtime.InteropServices;

namespace RepVgg.TorchSharp;

/// <summary>What the device reports, in words that help.</summary>
internal sealed partial class TorchBackend
{
    /// <summary>libtorch has no code for it, only texts: CUDA's, the CPU allocator's on Linux, and on Windows.</summary>
    internal static bool IsOutOfMemory(ExternalException exception) =>
        exception.Message.Contains("out of memory", StringComparison.OrdinalIgnoreCase)
        || exception.Message.Contains("can't allocate memory", StringComparison.OrdinalIgnoreCase)
        || exception.Message.Contains("not enough memory", StringComparison.OrdinalIgnoreCase)
        || exception.Message.Contains("ALLOC_FAILED", StringComparison.Ordinal);

    internal InsufficientMemoryException OutOfMemory(ExternalException cause)
    {
        string what = _inputShape is [var batch, ..]
            ? $"a batch of {batch} images of [{string.Join(", ", _inputShape[1..])}]. Try a batch size of {Math.Max(2, batch / 2)}"
            : "the network's weights. Try a smaller variant";
        string precision = IsCuda && !_options.Bfloat16 ? ", bfloat16" : "";
        return new InsufficientMemoryException($"{Description} ran out of memory on {what}{precision} or smaller images. libtorch says: {cause.Message.Split('\n')[0]}", cause);
    }
}
