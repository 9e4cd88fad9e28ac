using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Weights;

namespace RepVgg.Quantizers;

/// <summary>How much quantizing one block alone changes the results of a network.</summary>
/// <param name="Name">Name of the block.</param>
/// <param name="RelativeError">Root of the mean squared change of the logits, relative to the root of their mean square.</param>
public sealed record BlockSensitivity(string Name, double RelativeError);

/// <summary>Post-training quantization: replaces the weights and activations of a fused network by bytes.</summary>
/// <remarks>
/// Activations are unsigned bytes with one scale per map, weights signed bytes with one scale per output channel, biases integers of 32 bits. Quantized are the normalised input, the output of each block,
/// and, if the classifier is quantized, the pooled features with their own range. Squeeze-and-excitation and global average pooling are computed in floating point.
/// </remarks>
public static class Quantization
{
    /// <summary>What <see cref="QuantizationDetails.Calibrator"/> is after quantization-aware training.</summary>
    internal const string TrainedCalibrator = "QuantizationAwareTraining";

    /// <summary>Quantizes a network with the ranges of its activations on calibration images.</summary>
    /// <param name="network">The fused network.</param>
    /// <param name="images">Images like those of training, a few hundred: raw pixels of each, [channels, height, width].</param>
    /// <param name="options">The options; null for the defaults.</param>
    /// <param name="cancellation">Stops between two batches of images.</param>
    /// <returns>The quantized network.</returns>
    /// <exception cref="ArgumentException">There are no images, an image has another number of pixels than the network's input or a pixel that is not finite, an option is invalid, or an activation of the network is not finite.</exception>
    /// <exception cref="OperationCanceledException">The operation was cancelled.</exception>
    public static QuantizedNetwork Calibrate(DeployNetwork network, IReadOnlyList<float[]> images, QuantizationOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= new QuantizationOptions();
        (network, var observed) = Observe(network, images, options, cancellation);
        return Quantize(network, observed, options);
    }

    /// <summary>Quantizes a network after quantization-aware training, with the ranges of its activations that training measured. It computes what the training network computes in evaluation mode.</summary>
    /// <param name="network">The fused network.</param>
    /// <param name="training">The weights of the training form, with the ranges.</param>
    /// <param name="options">The options with which the network was trained. Those of the calibration are not used.</param>
    /// <returns>The quantized network.</returns>
    /// <exception cref="ArgumentException">The weights are not those of quantization-aware training with the same options.</exception>
    internal static QuantizedNetwork FromTraining(DeployNetwork network, StateDict training, QuantizationOptions options)
    {
        // The network was trained with its rounded weights, whose influence on the means is not to be corrected.
        options = options with { BiasCorrection = false };
        return Quantize(network, StoredActivations.Trained(network.Architecture, options.Layers, training), null, options, new QuantizationDetails(TrainedCalibrator, 0));
    }

    /// <summary>Quantizes each block alone and measures how much that changes the logits, or the features.</summary>
    /// <param name="network">The fused network.</param>
    /// <param name="images">Images like those of training, a few hundred: raw pixels of each, [channels, height, width].</param>
    /// <param name="options">The options; null for the defaults. Their <see cref="QuantizationOptions.FloatBlocks"/> are not used.</param>
    /// <param name="cancellation">Stops between two blocks.</param>
    /// <returns>The blocks, those that change most first.</returns>
    /// <exception cref="ArgumentException">As of <see cref="Calibrate"/>.</exception>
    /// <exception cref="OperationCanceledException">The operation was cancelled.</exception>
    public static IReadOnlyList<BlockSensitivity> MeasureSensitivity(DeployNetwork network, IReadOnlyList<float[]> images, QuantizationOptions? options = null, CancellationToken cancellation = default)
    {
        options ??= new QuantizationOptions();
        (network, var observed) = Observe(network, images, options, cancellation);
        return MeasureSensitivity(network, observed, images, options, cancellation);
    }

    private static IReadOnlyList<BlockSensitivity> MeasureSensitivity(
        DeployNetwork network, ObservedRanges observed, IReadOnlyList<float[]> images, QuantizationOptions options, CancellationToken cancellation)
    {
        float[][] expected, actual;
        using (var engine = new InferenceEngine(network, options.Threads))
            expected = Outputs(engine, images);
        double power = expected.Sum(output => output.Sum(value => (double)value * value));
        var sensitivities = new List<BlockSensitivity>();
        foreach (var block in network.Blocks)
        {
            cancellation.ThrowIfCancellationRequested();
            var others = network.Blocks.Select(other => other.Shape.Name).Where(name => name != block.Shape.Name);
            using (var engine = new InferenceEngine(Quantize(network, observed, options with { FloatBlocks = [.. others], QuantizeClassifier = false }), options.Threads))
                actual = Outputs(engine, images);
            double error = expected.Zip(actual).Sum(pair => pair.First.Zip(pair.Second).Sum(values => Math.Pow((double)values.First - values.Second, 2)));
            sensitivities.Add(new BlockSensitivity(block.Shape.Name, power == 0 ? 0 : Math.Sqrt(error / power)));
        }
        return [.. sensitivities.OrderByDescending(block => block.RelativeError)];
    }

    /// <summary>Quantizes a network and leaves as many of the most sensitive blocks in floating point as a limit of a loss requires (partial quantization).</summary>
    /// <param name="network">The fused network.</param>
    /// <param name="images">Images like those of training, a few hundred: raw pixels of each, [channels, height, width].</param>
    /// <param name="isAcceptable">Whether a quantized network loses little enough. It is called with more and more blocks in floating point, one more each time.</param>
    /// <param name="options">The options; null for the defaults. Their <see cref="QuantizationOptions.FloatBlocks"/> stay in floating point in any case.</param>
    /// <param name="cancellation">Stops between two blocks.</param>
    /// <returns>The first network that is acceptable, or the one whose blocks are all in floating point.</returns>
    /// <exception cref="ArgumentException">As of <see cref="Calibrate"/>.</exception>
    /// <exception cref="OperationCanceledException">The operation was cancelled.</exception>
    public static QuantizedNetwork CalibrateWithin(
        DeployNetwork network, IReadOnlyList<float[]> images, Func<QuantizedNetwork, bool> isAcceptable, QuantizationOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(isAcceptable);
        options ??= new QuantizationOptions();
        (network, var observed) = Observe(network, images, options, cancellation);
        var quantized = Quantize(network, observed, options);
        if (isAcceptable(quantized))
            return quantized;
        foreach (var block in MeasureSensitivity(network, observed, images, options, cancellation))
        {
            if (options.FloatBlocks.Contains(block.Name))
                continue;
            options = options with { FloatBlocks = options.FloatBlocks.Add(block.Name) };
            quantized = Quantize(network, observed, options);
            if (isAcceptable(quantized))
                break;
        }
        return quantized;
    }

    /// <summary>Finds the ranges of the activations.</summary>
    /// <returns>The network, which is another one after an equalization, and the ranges.</returns>
    private static (DeployNetwork Network, ObservedRanges Observed) Observe(DeployNetwork network, IReadOnlyList<float[]> images, QuantizationOptions options, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(images);
        Check(network, images, options);
        if (options.Equalization)
            network = ChannelEqualization.Apply(network);
        using var layers = new FloatLayers(network, options.Threads);
        var observed = new ObservedRanges(network, images.Count, options);
        layers.Run(images, observed, cancellation);
        if (options.Calibrator != Calibrator.MinMax)
        {
            observed.CountsValues = true;
            layers.Run(images, observed, cancellation);
        }
        return (network, observed);
    }

    private static float[][] Outputs(InferenceEngine engine, IReadOnlyList<float[]> images) => [.. images.Select(image =>
    {
        float[] output = new float[engine.OutputLength];
        engine.Run(image, 1, output);
        return output;
    })];

    private static QuantizedNetwork Quantize(DeployNetwork network, ObservedRanges observed, QuantizationOptions options) =>
        Quantize(network, observed.Stored, observed, options, new QuantizationDetails(options.Calibrator.ToString(), observed.Images));

    private static QuantizedNetwork Quantize(DeployNetwork network, StoredActivations activations, ObservedRanges? observed, QuantizationOptions options, QuantizationDetails details)
    {
        var isFloat = Array.ConvertAll([.. network.Blocks], block => options.FloatBlocks.Contains(block.Shape.Name));
        bool quantizesClassifier = options.QuantizeClassifier && network.Output == NetworkOutput.Logits;
        QuantizationParameters? input = isFloat[0] ? null : activations.Input, stored = input;
        var blocks = ImmutableArray.CreateBuilder<QuantizedBlock>(isFloat.Length);
        for (int i = 0; i < isFloat.Length; i++)
        {
            var block = network.Blocks[i];
            if (isFloat[i])
            {
                // Floating-point numbers between two blocks in floating point, and in front of what follows the last block.
                stored = i + 1 < isFloat.Length && !isFloat[i + 1] ? activations.Outputs[i] : null;
                blocks.Add(new QuantizedBlock { Shape = block.Shape, Float = block, Output = stored });
                continue;
            }
            double[] biases = [.. block.Bias.Select(bias => (double)bias)];
            var weights = WeightQuantizer.Quantize(block.Kernel.AsSpan(), biases, stored!.Value.Scale, options.LargestWeight);
            if (options.BiasCorrection)
            {
                observed!.Means(i).Correct(block, weights, biases);
                weights = WeightQuantizer.Quantize(block.Kernel.AsSpan(), biases, stored.Value.Scale, options.LargestWeight);
            }
            stored = activations.Outputs[i];
            blocks.Add(new QuantizedBlock
            {
                Shape = block.Shape,
                Convolution = weights,
                Squeeze = block.Squeeze,
                Excite = block.Excite,
                BeforeSqueeze = activations.BeforeSqueeze[i],
                Output = stored,
            });
        }
        QuantizationParameters? pooled = quantizesClassifier ? activations.Pooled : null;
        return new QuantizedNetwork(network.Architecture, network.ImageHeight, network.ImageWidth, network.Normalization, blocks.MoveToImmutable())
        {
            Details = details,
            Input = input,
            Pooled = pooled,
            QuantizedClassifier = pooled is null ? null : WeightQuantizer.Quantize(
                network.Classifier.Weight.AsSpan(), [.. network.Classifier.Bias.Select(bias => (double)bias)], pooled.Value.Scale, options.LargestWeight),
            Classifier = pooled is null ? network.Classifier : new LinearWeights(network.Architecture.FeatureWidth, 0, [], []),
            Output = network.Output,
        };
    }

    private static void Check(DeployNetwork network, IReadOnlyList<float[]> images, QuantizationOptions options)
    {
        options.Check(network.Architecture);
        if (images.Count == 0)
            throw new ArgumentException("There are no images to calibrate with; a few hundred like those of training are needed.", nameof(images));
        int length = network.Architecture.InputChannels * network.ImageHeight * network.ImageWidth;
        foreach (var (i, image) in images.Index())
        {
            if (image.Length != length)
                throw new ArgumentException($"Calibration image {i} has {image.Length} pixel values; the network's input has {length}: {network.Architecture.InputChannels} channels of {network.ImageHeight} x {network.ImageWidth} pixels.", nameof(images));
            if (Array.FindIndex(image, value => !float.IsFinite(value)) is >= 0 and var wrong)
                throw new ArgumentException(FormattableString.Invariant($"Calibration image {i} has the pixel value {image[wrong]} at index {wrong}; pixels must be finite numbers."), nameof(images));
        }
    }
}
