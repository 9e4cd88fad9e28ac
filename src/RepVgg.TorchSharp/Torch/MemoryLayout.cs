using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>The memory order of feature maps and kernels: contiguous NCHW, or NHWC with NCHW dimensions (channels last).</summary>
/// <remarks>TorchSharp ignores its memory format arguments, so the order is created with permute and contiguous.</remarks>
internal sealed record MemoryLayout(bool ChannelsLast)
{
    private static readonly long[] _channelsToEnd = [0, 2, 3, 1];
    private static readonly long[] _channelsToFront = [0, 3, 1, 2];

    /// <summary>Returns a tensor with the same dimensions and values in this memory order.</summary>
    public torch.Tensor Arrange(torch.Tensor tensor)
    {
        if (!ChannelsLast || tensor.Dimensions != 4)
            return tensor;
        using var permuted = tensor.permute(_channelsToEnd);
        using var ordered = permuted.contiguous();
        return ordered.permute(_channelsToFront);
    }

    /// <summary>Returns the values as a one-dimensional tensor in memory order.</summary>
    public torch.Tensor Flatten(torch.Tensor tensor)
    {
        if (!ChannelsLast || tensor.Dimensions != 4)
            return tensor.reshape(-1);
        using var permuted = tensor.permute(_channelsToEnd);
        return permuted.reshape(-1);
    }

    /// <summary>Returns a view, with the given dimensions, of a one-dimensional tensor in memory order.</summary>
    public torch.Tensor Unflatten(torch.Tensor flat, IReadOnlyList<int> shape)
    {
        if (!ChannelsLast || shape.Count != 4)
            return flat.view([.. shape.Select(dimension => (long)dimension)]);
        using var ordered = flat.view(shape[0], shape[2], shape[3], shape[1]);
        return ordered.permute(_channelsToFront);
    }
}
