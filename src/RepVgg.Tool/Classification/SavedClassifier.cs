using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using Microsoft.ML.Transforms.Image;
using RepVgg.Runtime;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;

namespace RepVgg.Tool.Classification;

/// <summary>A classifier that was saved as an ML.NET model.</summary>
internal sealed class SavedClassifier : IDisposable
{
    /// <summary>The command-line option of test-time augmentation, which <see cref="Views"/> reads.</summary>
    public static OptionSpec ViewsOption { get; } = new("tta", "VIEWS", "test-time augmentation: classify by the mean probabilities of several views: flip (the image and its mirror image), flip-shift (also shifted by a pixel), five-crop or ten-crop (default: none)") { Sets = [nameof(RepVggScoringOptions.TestTimeAugmentation)] };

    private readonly TransformerChain<ITransformer> _chain;

    private SavedClassifier(MLContext context, TransformerChain<ITransformer> chain, RepVggTransformer classifier)
    {
        Context = context;
        _chain = chain;
        Classifier = classifier;
    }

    public MLContext Context { get; }

    /// <summary>The part of the model that classifies images.</summary>
    public RepVggTransformer Classifier { get; }

    /// <summary>Gets the views of an image that are scored.</summary>
    public static TestTimeAugmentation Views(Arguments arguments) => arguments.Choice(
        "tta",
        ("none", TestTimeAugmentation.None), ("flip", TestTimeAugmentation.HorizontalFlip), ("flip-shift", TestTimeAugmentation.HorizontalFlipAndShift), ("five-crop", TestTimeAugmentation.FiveCrop), ("ten-crop", TestTimeAugmentation.TenCrop));

    /// <summary>Loads a model. Images that it cannot read get a missing prediction. The error stream gets a warning if the model changes images before the classifier.</summary>
    /// <exception cref="InvalidDataException">The file is no ML.NET model that this library wrote, or has no classifier.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static SavedClassifier Load(string path, int threads, TestTimeAugmentation views = TestTimeAugmentation.None)
    {
        var context = new MLContext(seed: 1);
        var options = new RepVggLoadOptions { NumberOfThreads = threads, InvalidRows = InvalidRowHandling.Skip, TestTimeAugmentation = views };
        TransformerChain<ITransformer> chain;
        try
        {
            chain = context.Model.LoadRepVgg(path, out _, options);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"{error.Message} Give the model.zip of a run of the command train. The commands inspect, convert and run read files of weights.", error);
        }
        var steps = Steps(chain).ToList();
        if (steps.OfType<RepVggTransformer>().FirstOrDefault() is not { } classifier)
        {
            chain.Dispose();
            if (steps.OfType<RepVggSegmentationTransformer>().Any())
                throw new InvalidDataException($"'{path}' contains a network for segmentation, not a classifier. The commands segment and segment-evaluate use it; the run has it as ONNX, too, model.onnx.");
            throw new InvalidDataException($"'{path}' contains no classifier of this library. Give the model.zip of a run.");
        }
        if (steps.TakeWhile(step => step != classifier).FirstOrDefault(step => step is ImageResizingTransformer or ImageGrayscalingTransformer) is { } change)
            Console.Error.WriteLine(MessageText.WithoutControls($"Warning: '{path}' changes the images before its classifier, by the step {change.GetType().Name}. This tool leaves the step out: the classifier itself resizes the images to its size, so that results can differ from those of ML.NET."));
        return new SavedClassifier(context, chain, classifier);
    }

    /// <summary>Scores images. Those that cannot be read get a missing prediction, and the error stream gets their paths with the reasons; or they are an error.</summary>
    /// <param name="files">The images.</param>
    /// <param name="skipInvalid">Whether images that cannot be read are skipped.</param>
    /// <param name="cancellation">Checked before every image.</param>
    /// <exception cref="InvalidDataException">While the result is read: an image cannot be read and is not skipped.</exception>
    public IDataView Score(IReadOnlyList<ImageFileRow> files, bool skipInvalid, CancellationToken cancellation)
    {
        Classifier.InvalidRowSkipped = row =>
        {
            string problem = $"{files[(int)row.Position].ImagePath}: {row.Reason.TrimEnd('.')}";
            if (!skipInvalid)
                throw new InvalidDataException($"{problem}. Remove the image, or give --skip-invalid.");
            Console.Error.WriteLine(MessageText.WithoutControls(problem));
        };
        return Classifier.Transform(new ClassifierData(Context, Classifier.Labels, cancellation, Classifier.FeatureColumnName).Of(files));
    }

    /// <summary>Saves a classifier as the pipeline of a Model Builder project. It reads ImageSource, the content of an image file, and Label, the name of a class; it writes Label as a key, PredictedLabel as the name of a class, and Score.</summary>
    /// <exception cref="InvalidDataException">The columns that the classifier writes have other names, or its classes have no names.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Save(MLContext context, RepVggTransformer classifier, string path)
    {
        const string PredictedLabel = "PredictedLabel", Score = "Score";
        var data = new ClassifierData(context, classifier.Labels, CancellationToken.None);
        var rows = data.Of([]);
        var image = context.Transforms.CopyColumns(classifier.FeatureColumnName, ClassifierData.Image).Fit(rows);
        var scored = classifier.Transform(image.Transform(rows));
        if (classifier.ScoreColumnName != Score || classifier.PredictedLabelColumnName != PredictedLabel)
            throw new InvalidDataException($"The classifier writes the columns '{classifier.PredictedLabelColumnName}' and '{classifier.ScoreColumnName}'. They must be '{PredictedLabel}' and '{Score}'.");
        if ((scored.Schema[PredictedLabel].Annotations.Schema.GetColumnOrNull("KeyValues")?.Type as VectorDataViewType)?.ItemType is not TextDataViewType)
            throw new InvalidDataException("The classes of the classifier have no names: the values of its label column are no texts. Train it with a label column of texts.");
        var names = context.Transforms.Conversion.MapKeyToValue(PredictedLabel).Fit(scored);
        ITransformer[] steps = classifier.FeatureColumnName == ClassifierData.Image ? [data.LabelMapping, classifier, names] : [data.LabelMapping, image, classifier, names];
        // ML.NET cannot save the schema of a column of images.
        context.Model.SaveRepVgg(new TransformerChain<ITransformer>(steps), null, path);
    }

    /// <summary>Gets the most probable classes of an image in the order of their probabilities; none for a missing prediction, whose scores are NaN.</summary>
    public IReadOnlyList<(string Name, float Probability)> Best(float[] scores, int top) => float.IsNaN(scores[0]) ? []
        : [.. scores.Index().OrderByDescending(score => score.Item).Take(top).Select(score => (Classifier.Labels[score.Index], score.Item))];

    public void Dispose() => _chain.Dispose();

    /// <summary>Gets the steps of a model. A step can itself be a chain.</summary>
    internal static IEnumerable<ITransformer> Steps(ITransformer model) => model is IEnumerable<ITransformer> chain ? chain.SelectMany(Steps) : [model];
}
