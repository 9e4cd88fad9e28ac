using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Weights.Naming;

namespace RepVgg.Networks;

/// <summary>A head that predicts every pixel of a map: 3x3 convolution, batch norm, ReLU, dropout of channels, 1x1 convolution, and resizing to the size of the image.</summary>
/// <remarks>Source: the auxiliary head of Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017; its main head ends in the same layers.</remarks>
/// <param name="name">Prefix of the names of its tensors: <c>cls</c> or <c>aux</c>.</param>
/// <param name="number">Number of the head for dropout: 0 for the main head, 1 for the auxiliary one.</param>
/// <param name="alignCorners">How logits are resized; see <see cref="PspNetArchitecture.AlignCorners"/>.</param>
/// <param name="tensors">The tensors of the network.</param>
internal sealed class PixelHead(string name, int number, bool alignCorners, ITrainingTensors tensors) : TrainingHead
{
    private readonly Tensor _kernel = tensors.Tensor($"{name}.0.weight"), _weight = tensors.Tensor($"{name}.4.weight"), _bias = tensors.Tensor($"{name}.4.bias");
    private readonly BatchNormState _norm = tensors.Norm($"{name}.1");

    /// <inheritdoc/>
    public override Tensor Forward(Backend backend, Tensor map, int imageHeight, int imageWidth, RandomDrops? drops)
    {
        var features = backend.Relu(backend.BatchNorm(backend.Conv2d(map, _kernel, null, 1, 1, 1), _norm));
        features = drops?.DropChannels(features, number) ?? features;
        return backend.Resize(backend.Conv2d(features, _weight, _bias, 1, 0, 1), imageHeight, imageWidth, alignCorners);
    }
}

/// <summary>The main head of a PSPNet: pyramid pooling, and a <see cref="PixelHead"/> on the concatenated maps.</summary>
/// <remarks>Source: Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, figure 3(c).</remarks>
/// <param name="architecture">The architecture of the network.</param>
/// <param name="tensors">The tensors of the network.</param>
internal sealed class PyramidHead(PspNetArchitecture architecture, ITrainingTensors tensors) : TrainingHead
{
    private readonly (int Bin, Tensor Kernel, BatchNormState Norm)[] _branches =
        [.. architecture.Bins.Select((bin, i) => (bin, tensors.Tensor($"{PspNetLayout.Branch(i)}.weight"), tensors.Norm(PspNetLayout.BranchNorm(i))))];

    private readonly PixelHead _head = new("cls", 0, architecture.AlignCorners, tensors);

    /// <inheritdoc/>
    public override Tensor Forward(Backend backend, Tensor map, int imageHeight, int imageWidth, RandomDrops? drops)
    {
        var parts = new List<Tensor> { map };
        foreach (var (bin, kernel, norm) in _branches)
        {
            var reduced = backend.Relu(backend.BatchNorm(backend.Conv2d(backend.AdaptiveAveragePool(map, bin, bin), kernel, null, 1, 0, 1), norm));
            parts.Add(backend.Resize(reduced, map.Shape[2], map.Shape[3], architecture.AlignCorners));
        }
        return _head.Forward(backend, backend.Concatenate(parts), imageHeight, imageWidth, drops);
    }
}
