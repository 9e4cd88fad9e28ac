using RepVgg.Backends;
using RepVgg.Weights.Naming;

namespace RepVgg.Networks;

/// <summary>A part of a training network that computes logits from a map of the backbone.</summary>
internal abstract class TrainingHead
{
    /// <summary>Computes the logits. Must be called within a step of the backend.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="map">The map of the stage that the head reads, [N, C, H, W].</param>
    /// <param name="imageHeight">Height of the images in pixels.</param>
    /// <param name="imageWidth">Width of the images in pixels.</param>
    /// <param name="drops">The dropout of a training step; null for none.</param>
    /// <returns>[N, classes], or [N, classes, <paramref name="imageHeight"/>, <paramref name="imageWidth"/>] for segmentation.</returns>
    public abstract Tensor Forward(Backend backend, Tensor map, int imageHeight, int imageWidth, RandomDrops? drops);
}

/// <summary>The classifier: global average pooling and a linear layer.</summary>
/// <param name="tensors">The tensors of the network.</param>
/// <param name="quantization">The fake quantization of the network; null for none.</param>
/// <param name="noBias">A bias of zeros, for a classifier that is quantized; null for none.</param>
internal sealed class ClassifierHead(ITrainingTensors tensors, FakeQuantization? quantization, Tensor? noBias) : TrainingHead
{
    private readonly Tensor _weight = tensors.Tensor("linear.weight"), _bias = tensors.Tensor("linear.bias");

    /// <inheritdoc/>
    public override Tensor Forward(Backend backend, Tensor map, int imageHeight, int imageWidth, RandomDrops? drops)
    {
        var features = backend.GlobalAveragePool(map);
        if (quantization?.Find(ActivationRanges.Pooled) is { } range)
            features = backend.FakeQuantize(features, range);
        features = drops?.DropChannels(features, head: 0) ?? features;
        var logits = backend.Linear(features, _weight, _bias);
        return quantization is { Layers: { Classifier: true } layers }
            ? backend.Add(logits, backend.Linear(features, backend.QuantizationError(_weight, layers.LargestWeight), noBias!))
            : logits;
    }
}

/// <summary>The auxiliary classifier of RepVGGplus: 3x3 convolution with stride 2, batch norm, ReLU, global average pooling, linear layer.</summary>
/// <param name="name">Prefix of the names of its tensors.</param>
/// <param name="tensors">The tensors of the network.</param>
internal sealed class AuxiliaryClassifierHead(string name, ITrainingTensors tensors) : TrainingHead
{
    private readonly Tensor _kernel = tensors.Tensor($"{name}.0.conv.weight"), _weight = tensors.Tensor($"{name}.3.weight"), _bias = tensors.Tensor($"{name}.3.bias");
    private readonly BatchNormState _norm = tensors.Norm($"{name}.0.bn");

    /// <inheritdoc/>
    public override Tensor Forward(Backend backend, Tensor map, int imageHeight, int imageWidth, RandomDrops? drops)
    {
        var features = backend.Relu(backend.BatchNorm(backend.Conv2d(map, _kernel, null, 2, 1, 1), _norm));
        return backend.Linear(backend.GlobalAveragePool(features), _weight, _bias);
    }
}
