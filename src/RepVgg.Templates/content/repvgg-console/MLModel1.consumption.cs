using System.Collections.Concurrent;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;

namespace RepVggConsole;

public partial class MLModel1
{
    /// <summary>The input of the model.</summary>
    public class ModelInput
    {
        /// <summary>Name of the class; not needed for predictions.</summary>
        [LoadColumn(0)]
        [ColumnName("Label")]
        public string Label { get; set; } = "";

        /// <summary>The content of an image file: JPEG, PNG, GIF, BMP or WebP.</summary>
        [LoadColumn(1)]
        [ColumnName("ImageSource")]
        public byte[] ImageSource { get; set; } = [];
    }

    /// <summary>The output of the model.</summary>
    public class ModelOutput
    {
        /// <summary>Key of the class of the input: 0 if it has none.</summary>
        [ColumnName("Label")]
        public uint Label { get; set; }

        [ColumnName("ImageSource")]
        public byte[] ImageSource { get; set; } = [];

        /// <summary>Name of the most probable class.</summary>
        [ColumnName("PredictedLabel")]
        public string PredictedLabel { get; set; } = "";

        /// <summary>Probability of each class, in the order of <see cref="GetLabels"/>.</summary>
        [ColumnName("Score")]
        public float[] Score { get; set; } = [];
    }

    /// <summary>The model file, beside the program.</summary>
    public static string MLNetModelPath { get; } = Path.Combine(AppContext.BaseDirectory, "MLModel1.mlnet");

    /// <summary>An engine for a single thread. <see cref="Predict"/> can be called by several threads.</summary>
    public static readonly Lazy<PredictionEngine<ModelInput, ModelOutput>> PredictEngine = new(CreatePredictEngine);

    private static readonly Lazy<(MLContext Context, ITransformer Model)> _model = new(() =>
    {
        var context = new MLContext();
        return (context, context.Model.LoadRepVgg(MLNetModelPath, out _));
    });

    // A prediction engine serves one thread at a time; the network itself is shared.
    private static readonly ConcurrentBag<PredictionEngine<ModelInput, ModelOutput>> _engines = [];

    /// <summary>Predicts the class of an image. Several threads can call it at once.</summary>
    public static ModelOutput Predict(ModelInput input)
    {
        if (!_engines.TryTake(out var engine))
            engine = CreatePredictEngine();
        var output = engine.Predict(input);
        _engines.Add(engine);
        return output;
    }

    /// <summary>Predicts the probabilities of all classes, the largest first.</summary>
    public static IOrderedEnumerable<KeyValuePair<string, float>> PredictAllLabels(ModelInput input) => GetSortedScoresWithLabels(Predict(input));

    /// <summary>Gets the probability of each class, the largest first.</summary>
    public static IOrderedEnumerable<KeyValuePair<string, float>> GetSortedScoresWithLabels(ModelOutput result) =>
        GetLabels().Zip(result.Score, KeyValuePair.Create).OrderByDescending(pair => pair.Value);

    /// <summary>Gets the names of the classes, in the order of the scores.</summary>
    public static IEnumerable<string> GetLabels()
    {
        VBuffer<ReadOnlyMemory<char>> names = default;
        PredictEngine.Value.OutputSchema["Label"].GetKeyValues(ref names);
        return names.DenseValues().Select(name => name.ToString());
    }

    private static PredictionEngine<ModelInput, ModelOutput> CreatePredictEngine() =>
        _model.Value.Context.Model.CreatePredictionEngine<ModelInput, ModelOutput>(_model.Value.Model);
}
