using System.Collections.Concurrent;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;

namespace RepVggNamespace;

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

    // If loading fails, because there is no model yet for instance, the next call tries again.
    private static readonly Lazy<PredictionPool> _pool = new(() => new PredictionPool(MLNetModelPath), LazyThreadSafetyMode.PublicationOnly);

    /// <summary>An engine for a single thread. <see cref="Predict"/> can be called by several threads.</summary>
    public static readonly Lazy<PredictionEngine<ModelInput, ModelOutput>> PredictEngine = new(() => _pool.Value.CreateEngine(), LazyThreadSafetyMode.PublicationOnly);

    /// <summary>Predicts the class of an image. Several threads can call it at once.</summary>
    public static ModelOutput Predict(ModelInput input) => _pool.Value.Predict(input);

    /// <summary>Predicts the probabilities of all classes, the largest first. Several threads can call it at once.</summary>
    public static IOrderedEnumerable<KeyValuePair<string, float>> PredictAllLabels(ModelInput input) => _pool.Value.PredictAllLabels(input);

    /// <summary>Gets the probability of each class, the largest first.</summary>
    public static IOrderedEnumerable<KeyValuePair<string, float>> GetSortedScoresWithLabels(ModelOutput result) => _pool.Value.GetSortedScoresWithLabels(result);

    /// <summary>Gets the names of the classes, in the order of the scores.</summary>
    public static IEnumerable<string> GetLabels() => _pool.Value.Labels;

    /// <summary>A loaded model with engines for any number of threads. It need not be disposed.</summary>
    public sealed class PredictionPool
    {
        private readonly MLContext _mlContext = new();
        private readonly ITransformer _model;

        // A prediction engine serves one thread at a time; the network itself is shared.
        private readonly ConcurrentBag<PredictionEngine<ModelInput, ModelOutput>> _engines = [];

        /// <summary>Loads a model.</summary>
        /// <param name="path">The file of the model.</param>
        /// <param name="options">How it is loaded; null for the defaults.</param>
        public PredictionPool(string path, RepVggLoadOptions? options = null)
        {
            _model = _mlContext.Model.LoadRepVgg(path, out _, options);
            var engine = CreateEngine();
            _engines.Add(engine);
            VBuffer<ReadOnlyMemory<char>> names = default;
            engine.OutputSchema["Label"].GetKeyValues(ref names);
            Labels = [.. names.DenseValues().Select(name => name.ToString())];
        }

        /// <summary>The names of the classes, in the order of the scores.</summary>
        public IReadOnlyList<string> Labels { get; }

        /// <summary>Predicts the class of an image.</summary>
        public ModelOutput Predict(ModelInput input)
        {
            if (!_engines.TryTake(out var engine))
                engine = CreateEngine();
            var output = engine.Predict(input);
            // Not in a finally block: an engine that has thrown an exception is not used again.
            _engines.Add(engine);
            return output;
        }

        /// <summary>Predicts the probabilities of all classes, the largest first.</summary>
        public IOrderedEnumerable<KeyValuePair<string, float>> PredictAllLabels(ModelInput input) => GetSortedScoresWithLabels(Predict(input));

        /// <summary>Gets the probability of each class, the largest first.</summary>
        public IOrderedEnumerable<KeyValuePair<string, float>> GetSortedScoresWithLabels(ModelOutput result) =>
            Labels.Zip(result.Score, KeyValuePair.Create).OrderByDescending(pair => pair.Value);

        /// <summary>Creates an engine for a single thread.</summary>
        public PredictionEngine<ModelInput, ModelOutput> CreateEngine() => _mlContext.Model.CreatePredictionEngine<ModelInput, ModelOutput>(_model);
    }
}
