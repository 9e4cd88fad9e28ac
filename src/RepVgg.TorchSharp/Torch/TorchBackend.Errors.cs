using System.Runtime.InteropServices;

namespace RepVgg.TorchSharp;

/// <summary>Converts libtorch's out-of-memory errors to exceptions whose messages contain a remedy.</summary>
internal sealed partial class TorchBackend
{
    /// <summary>Whether libtorch ran out of memory. libtorch has no error code for this, so the message is compared with the texts of CUDA and of the CPU allocators on Linux and Windows.</summary>
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
        return new InsufficientMemoryException($"{Description} ran out of memory on {what}{precision} or smaller images. Message of libtorch: {cause.Message.Split('\n')[0]}", cause);
    }
}
