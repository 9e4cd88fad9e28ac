namespace RepVgg.Backends;

/// <content>Operations for one prediction per pixel.</content>
internal abstract partial class Backend
{
    /// <summary>Resizes a map by bilinear interpolation, as torch.nn.functional.interpolate with mode 'bilinear'.</summary>
    /// <param name="map">[N, C, H, W].</param>
    /// <param name="height">Height of the result, at least 1.</param>
    /// <param name="width">Width of the result, at least 1.</param>
    /// <param name="alignCorners">True if the middles of the pixels in the corners coincide; false if the edges of the maps do.</param>
    /// <returns>[N, C, height, width].</returns>
    public Tensor Resize(Tensor map, int height, int width, bool alignCorners)
    {
        CheckMap(map, nameof(map));
        CheckSize(height, width);
        return ResizeCore(map, height, width, alignCorners);
    }

    /// <summary>The means of ranges of a map that divide it evenly, as torch.nn.AdaptiveAvgPool2d: row i of the result is the mean of the rows from floor(i * H / height) to before ceil((i + 1) * H / height), and the same for columns.</summary>
    /// <param name="map">[N, C, H, W].</param>
    /// <param name="height">Height of the result, at least 1.</param>
    /// <param name="width">Width of the result, at least 1.</param>
    /// <returns>[N, C, height, width].</returns>
    public Tensor AdaptiveAveragePool(Tensor map, int height, int width)
    {
        CheckMap(map, nameof(map));
        CheckSize(height, width);
        return AdaptiveAveragePoolCore(map, height, width);
    }

    /// <summary>Concatenates maps along their channels.</summary>
    /// <param name="maps">At least one map [N, C, H, W]; C can differ.</param>
    /// <returns>[N, sum of C, H, W].</returns>
    public Tensor Concatenate(IReadOnlyList<Tensor> maps)
    {
        ArgumentNullException.ThrowIfNull(maps);
        if (maps.Count == 0)
            throw new ArgumentException("There is no map to concatenate.", nameof(maps));
        foreach (var map in maps)
        {
            CheckMap(map, nameof(maps));
            if (map.Shape[0] != maps[0].Shape[0] || map.Shape[2] != maps[0].Shape[2] || map.Shape[3] != maps[0].Shape[3])
                throw new ArgumentException($"Maps to concatenate must be equal but for their channels, not {Text(maps[0].Shape)} and {Text(map.Shape)}.", nameof(maps));
        }
        return ConcatenateCore(maps);
    }

    /// <summary>The mean cross-entropy of softmax(logits) over all pixels that have a label, in nats; 0 if none has one.</summary>
    /// <param name="logits">[N, classes, H, W], with at most 255 classes.</param>
    /// <param name="labels">The label of each pixel, [N, H, W].</param>
    /// <param name="ignored">The label of pixels that are left out; 255 by convention.</param>
    /// <param name="classWeights">Weights of the classes, by which the mean is weighted as in PyTorch; empty for 1.</param>
    /// <returns>A scalar.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A label is neither a class nor the ignored one.</exception>
    public Tensor PixelCrossEntropy(Tensor logits, ReadOnlySpan<byte> labels, byte ignored, ReadOnlySpan<float> classWeights = default)
    {
        CheckPixelLabels(logits, labels, ignored, nameof(labels));
        int classes = logits.Shape[1];
        if (!classWeights.IsEmpty && classWeights.Length != classes)
            throw new ArgumentException($"{classWeights.Length} weights do not fit {classes} classes.", nameof(classWeights));
        foreach (float weight in classWeights)
        {
            if (!(weight >= 0 && float.IsFinite(weight)))
                throw new ArgumentException(FormattableString.Invariant($"The weight of a class is {weight}; it must be a finite number of 0 or more."), nameof(classWeights));
        }
        if (classWeights.IsEmpty)
        {
            var ones = new float[classes];
            Array.Fill(ones, 1);
            classWeights = ones;
        }
        return PixelCrossEntropyCore(logits, labels, ignored, classWeights);
    }

    private protected abstract Tensor ResizeCore(Tensor map, int height, int width, bool alignCorners);

    private protected abstract Tensor AdaptiveAveragePoolCore(Tensor map, int height, int width);

    private protected abstract Tensor ConcatenateCore(IReadOnlyList<Tensor> maps);

    /// <summary>Computes <see cref="PixelCrossEntropy"/>; there is a weight for every class.</summary>
    private protected abstract Tensor PixelCrossEntropyCore(Tensor logits, ReadOnlySpan<byte> labels, byte ignored, ReadOnlySpan<float> classWeights);
}
