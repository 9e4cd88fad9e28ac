using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.RepVgg.Scoring;
using Microsoft.ML.RepVgg.Segmentation;
using Microsoft.ML.Runtime;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Training;
using RepVgg.Weights.Onnx;

namespace Microsoft.ML.RepVgg;

/// <summary>A trained and fused PSPNet with a RepVGG backbone. It adds a column with the class of every pixel, and, if it was asked for, a column with the probabilities of the classes.</summary>
/// <remarks>
/// Images are resized to the network's input, and the mask has that size. <see cref="Predict(byte[], bool?)"/> gives a mask of the image's own size. <c>Model.Save</c> writes only ML.NET's own transformers, so an
/// application can load the model without this library. Any number of threads can use one transformer at the same time. Dispose it when no data view or prediction engine uses it any longer.
/// </remarks>
public sealed partial class RepVggSegmentationTransformer : ITransformer, IDisposable
{
    private readonly NetworkScorer _scorer;
    private readonly SegmentationEngine _engine;
    private readonly ScoringOptions _scoring;
    private int _hasWarned;

    /// <param name="network">The network.</param>
    /// <param name="input">Description of the input column.</param>
    /// <param name="maskColumn">Name of the column of masks.</param>
    /// <param name="scoreColumn">Name of the column of probabilities; null for none.</param>
    /// <param name="labels">Names of the classes; empty if they are unknown.</param>
    /// <param name="isTrainedOnCrops">Whether the network was trained on crops of images of their own size.</param>
    /// <param name="scoring">How rows are scored.</param>
    internal RepVggSegmentationTransformer(SegmentationNetwork network, FeatureInput input, string maskColumn, string? scoreColumn, IReadOnlyList<string> labels, bool isTrainedOnCrops, ScoringOptions scoring)
    {
        (IsTrainedOnCrops, _scoring) = (isTrainedOnCrops, scoring);
        (Network, PredictedMaskColumnName, ScoreColumnName) = (network, maskColumn, scoreColumn);
        Labels = labels.Count > 0 ? labels : [.. Enumerable.Range(0, network.Classes).Select(label => FormattableString.Invariant($"{label}"))];
        HasClassNames = labels.Count > 0;
        _engine = NetworkScorer.CreateEngine(network, scoring);
        var masks = new MaskEngine(_engine, hasScores: scoreColumn is not null);
        var columns = new List<AddedColumn> { new(maskColumn, new VectorDataViewType(NumberDataViewType.Byte, network.ImageHeight, network.ImageWidth), null, masks.MaskGetter) };
        if (scoreColumn is not null)
            columns.Add(new AddedColumn(scoreColumn, new VectorDataViewType(NumberDataViewType.Single, network.Classes, network.ImageHeight, network.ImageWidth), null, masks.ScoreGetter));
        _scorer = new NetworkScorer(input, masks, scoring, columns);
    }

    /// <summary>The fused network: its architecture and weights.</summary>
    public SegmentationNetwork Network { get; }

    /// <summary>The names of the classes in the order of their labels; "0", "1", ... if they are unknown.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <summary>Name of the input column.</summary>
    public string FeatureColumnName => _scorer.Input.ColumnName;

    /// <summary>Name of the output column with the class of every pixel: Vector&lt;Byte&gt; with the dimensions (height, width).</summary>
    public string PredictedMaskColumnName { get; }

    /// <summary>Name of the output column with the probabilities of the classes: Vector&lt;Single&gt; with the dimensions (classes, height, width); null if there is none.</summary>
    public string? ScoreColumnName { get; }

    /// <summary>Number of rows without a usable image that were skipped at scoring (see <see cref="RepVggScoringOptions.InvalidRows"/>). Their masks have the value 255 everywhere.</summary>
    public long InvalidRowCount => _scorer.InvalidRowCount;

    /// <summary>Number of rows of the training and validation data that were skipped because their image or mask is invalid; 0 for a model that was loaded.</summary>
    public long SkippedTrainingRowCount { get; internal init; }

    /// <summary>The metrics of every epoch; empty for a model that was loaded.</summary>
    public IReadOnlyList<EpochResult> History { get; internal init; } = [];

    /// <summary>The epoch, from 1, whose weights this network has, unless it has those of <see cref="AveragedEpochs"/>; 0 for a model that was loaded.</summary>
    public int BestEpoch { get; internal init; }

    /// <summary>The epochs, from 1 and the best first, of whose weights this network has the average; empty if it has those of <see cref="BestEpoch"/>, and for a model that was loaded.</summary>
    public IReadOnlyList<int> AveragedEpochs { get; internal init; } = [];

    /// <summary>Whether the network was trained on crops of images of their own size (<see cref="RepVggSegmentationTrainer.Options.TrainOnCrops"/>), so that its masks are those of a sliding window.</summary>
    public bool IsTrainedOnCrops { get; }

    /// <summary>The reason why training ended; <see cref="StopReason.Completed"/> for a model that was loaded.</summary>
    public StopReason StopReason { get; internal init; }

    /// <inheritdoc/>
    public bool IsRowToRowMapper => true;

    /// <summary>How encoded images are decoded.</summary>
    internal ImageDecoding Decoding => _scorer.Input.Decoding;

    /// <summary>Whether the names of the classes are known.</summary>
    internal bool HasClassNames { get; }

    /// <inheritdoc/>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => _scorer.Map(inputSchema).OutputSchema;

    /// <inheritdoc/>
    public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) => _scorer.Map(inputSchema);

    /// <inheritdoc/>
    public IDataView Transform(IDataView input)
    {
        if (IsTrainedOnCrops && Interlocked.Exchange(ref _hasWarned, 1) == 0)
        {
            using var channel = _scoring.Host?.Start("Scoring");
            channel?.Warning(MessageSensitivity.None, "The network was trained on crops of images of their own size, but a data view has masks of images that are resized to its input. Predict gives masks of a sliding window.");
        }
        return _scorer.Transform(input);
    }

    /// <summary>Predicts the class of every pixel of an image, at its own size.</summary>
    /// <param name="encodedImage">The content of an image file.</param>
    /// <param name="slidingWindow">
    /// True computes the mask at the image's own scale, from overlapping windows of the network's size (<see cref="SlidingWindow"/>). False resizes the image to the network's input, and the mask to the size of the
    /// image. Null is true for a network that was trained on crops (<see cref="IsTrainedOnCrops"/>), and false for others.
    /// </param>
    /// <returns>The mask.</returns>
    /// <exception cref="InvalidDataException">The image cannot be decoded, or is too large.</exception>
    public SegmentationMask Predict(byte[] encodedImage, bool? slidingWindow = null)
    {
        ArgumentNullException.ThrowIfNull(encodedImage);
        return Predict(encodedImage, slidingWindow, CancellationToken.None);
    }

    /// <summary>Predicts the class of every pixel of an image, as <see cref="Predict(byte[], bool?)"/> does.</summary>
    internal SegmentationMask Predict(ReadOnlySpan<byte> encodedImage, bool? slidingWindow, CancellationToken cancellation)
    {
        var input = _scorer.Input;
        try
        {
            using var image = ImageDecoder.Decode(encodedImage, input.Decoding);
            var (height, width) = (image.Height, image.Width);
            if (slidingWindow ?? IsTrainedOnCrops)
            {
                if ((long)height * width * Network.Classes > Array.MaxLength)
                    throw new ImageException(FormattableString.Invariant($"it has {width} x {height} pixels, too many for the probabilities of {Network.Classes} classes; divide it"));
                byte[] pixels = new byte[checked(input.Channels * height * width)], mask = new byte[height * width];
                using (var resizer = ImageResizer.OfWholeImages(height, width, input.Background))
                    resizer.Resize(image, pixels);
                new SlidingWindow(_engine, Network.Normalization).Run(pixels, height, width, mask, cancellation);
                return new SegmentationMask(height, width, mask, input.Decoding);
            }
            byte[] resized = new byte[_engine.InputLength], small = new byte[_engine.MaskLength];
            using (var resizer = input.CreateResizer())
                resizer.Resize(image, resized);
            _engine.Run(resized, 1, small);
            return new SegmentationMask(height, width, MaskResizing.Resize(small, input.Height, input.Width, height, width), input.Decoding);
        }
        catch (ImageException error)
        {
            throw new InvalidDataException($"The image cannot be used: {error.Message}.", error);
        }
        catch (Exception error) when (MissingDecoder.IsCauseOf(error))
        {
            throw MissingDecoder.Explain(error);
        }
    }

    /// <summary>Writes the network as ONNX: raw pixels [N, C, H, W] in, the class of every pixel [N, H, W] out, normalisation included.</summary>
    /// <param name="path">The file; an existing one is replaced once the new one is complete.</param>
    /// <param name="options">The names and shapes of the file; null for the defaults. <see cref="SegmentationExportOptions.ClassLabels"/> that are null are <see cref="Labels"/>.</param>
    /// <exception cref="ArgumentException">An option has an invalid value.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void ExportToOnnx(string path, SegmentationExportOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        options ??= new SegmentationExportOptions();
        OnnxWriter.Write(Network, path, options with { ClassLabels = options.ClassLabels ?? Labels });
    }

    /// <inheritdoc/>
    void ICanSaveModel.Save(ModelSaveContext ctx)
    {
        ArgumentNullException.ThrowIfNull(ctx);
        StockChain.SaveSegmentation(ctx, Network, _scorer.Input, PredictedMaskColumnName, ScoreColumnName, HasClassNames ? Labels : [], IsTrainedOnCrops);
    }

    /// <summary>Releases the engine and its memory.</summary>
    public void Dispose() => _scorer.Dispose();
}
