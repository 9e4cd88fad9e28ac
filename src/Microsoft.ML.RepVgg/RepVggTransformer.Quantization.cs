using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Quantizers;
using RepVgg.Reparameterization;

namespace Microsoft.ML.RepVgg;

public sealed partial class RepVggTransformer
{
    /// <summary>Number of images on which the ranges of activations are measured.</summary>
    internal const int DefaultCalibrationImages = 512;

    /// <summary>The network of 8-bit integers that scores the images; null if this classifier is in floating point. Its details say how it was quantized.</summary>
    public QuantizedNetwork? QuantizedNetwork => _scored is { HasIntegers: true } ? _scored : null;

    /// <summary>Quantizes this classifier to 8-bit integers, which scores in integers and whose saved models and ONNX files are about a quarter as large.</summary>
    /// <remarks>
    /// The ranges of the activations are measured on images like those of training; labels are not needed. The images are chosen at random, in the same way each time, from all rows, so that it does not matter how the rows are
    /// sorted. Rows without a usable image are treated as at scoring. The accuracy of the result is to be measured: it depends on the network and on the calibrator. A temperature of this classifier is kept, but
    /// <see cref="Calibration"/> of the result is null, because its figures are those of the network in floating point.
    /// </remarks>
    /// <param name="images">The images, in a column with the name of <see cref="FeatureColumnName"/>.</param>
    /// <param name="options">How the network is quantized; null for the defaults.</param>
    /// <param name="maximumImages">Maximum number of images that are used, at least 1. A few hundred are enough.</param>
    /// <returns>A new classifier; this one is unchanged. Each is to be disposed.</returns>
    /// <exception cref="ArgumentException">The column is missing or of the wrong type, there is no row with a usable image, an option is invalid, or an activation of the network is not finite.</exception>
    /// <exception cref="InvalidOperationException">This classifier is quantized already; or a row is invalid (see <see cref="RepVggScoringOptions.InvalidRows"/>).</exception>
    /// <exception cref="NotSupportedException">The training form of the architecture cannot be fused (see <see cref="Fusion.CanFuse"/>).</exception>
    public RepVggTransformer Quantize(IDataView images, QuantizationOptions? options = null, int maximumImages = DefaultCalibrationImages)
    {
        ArgumentNullException.ThrowIfNull(images);
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumImages, 1);
        var network = Network;
        if (QuantizedNetwork is not null)
            throw new InvalidOperationException("The classifier is quantized already. Quantize the classifier that it was made from, or one that was trained again.");
        var pixels = ReadPixels(images, maximumImages);
        if (pixels.Count == 0)
            throw new ArgumentException("The data to calibrate the quantization with has no row with a usable image. Check the folder, file or filter that it comes from.", nameof(images));
        var quantized = Quantization.Calibrate(network, pixels, options ?? new QuantizationOptions { Threads = _scoring.Threads });
        return WithResults(new RepVggTransformer(quantized, Input, ScoreColumnName, PredictedLabelColumnName, _label, _scoring));
    }

    /// <summary>Reads images as the network reads them.</summary>
    private IReadOnlyList<float[]> ReadPixels(IDataView images, int maximum)
    {
        using var collector = new PixelCollector(Input.Length, maximum, _engine.Threads);
        var column = new AddedColumn("Pixels", new VectorDataViewType(NumberDataViewType.Single, collector.OutputLength), null, Probabilities.CopyGetter);
        var view = new NetworkScorer(Input, collector, _scoring, [column]).Transform(images);
        var added = view.Schema[^1];
        using var cursor = view.GetRowCursor([added]);
        var getter = cursor.GetGetter<VBuffer<float>>(added);
        VBuffer<float> value = default;
        while (cursor.MoveNext())
            getter(ref value);
        return collector.Images;
    }

    /// <summary>Keeps the pixels of some of the images that it is given, each with the same probability (reservoir sampling), and computes nothing.</summary>
    /// <remarks>Source: Vitter, "Random Sampling with a Reservoir", 1985, algorithm R.</remarks>
    /// <param name="length">Number of values of an image.</param>
    /// <param name="maximum">Maximum number of images that are kept.</param>
    /// <param name="threads">Number of threads that decode images.</param>
    private sealed class PixelCollector(int length, int maximum, int threads) : INetworkEngine
    {
        private readonly Random _random = new(1);
        private readonly List<float[]> _images = [];
        private long _seen;

        public IReadOnlyList<float[]> Images => _images;

        public int Threads => threads;

        public int OutputLength => 1;

        public void Run(ReadOnlySpan<float> images, int count, Span<float> logits)
        {
            for (int i = 0; i < count; i++)
            {
                if (Choose() is >= 0 and var place)
                    images.Slice(i * length, length).CopyTo(_images[place]);
            }
            logits.Clear();
        }

        public void Run(ReadOnlySpan<byte> images, int count, Span<float> logits)
        {
            for (int i = 0; i < count; i++)
            {
                if (Choose() is not (>= 0 and var place))
                    continue;
                for (int at = 0; at < length; at++)
                    _images[place][at] = images[i * length + at];
            }
            logits.Clear();
        }

        public void Dispose()
        {
        }

        /// <summary>Decides whether the next image is kept.</summary>
        /// <returns>The index of the array that is to receive its pixels; -1 if it is not kept.</returns>
        private int Choose()
        {
            _seen++;
            if (_images.Count < maximum)
            {
                _images.Add(new float[length]);
                return _images.Count - 1;
            }
            long place = _random.NextInt64(_seen);
            return place < maximum ? (int)place : -1;
        }
    }
}
