using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using RepVgg.Runtime;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;

namespace RepVgg.Training;

/// <summary>The state that is needed to resume a run after an epoch.</summary>
/// <param name="Weights">Parameters and running statistics.</param>
/// <param name="Best">The weights of the best epochs, at least one, the best first; one of them is the same object as <paramref name="Weights"/> if it is the latest and there is no moving average.</param>
/// <param name="Optimizer">The optimizer's state: its slots by name.</param>
/// <param name="Average">The moving average of the weights; null if averaging is disabled.</param>
/// <param name="History">Results of all finished epochs. Their number determines the position in the learning rate schedule, the shuffling and the augmentation, which depend only on the seed and the epoch.</param>
internal sealed record TrainingState(
    StateDict Weights, IReadOnlyList<EpochWeights> Best, StateDict Optimizer, StateDict? Average, IReadOnlyList<EpochResult> History);

/// <summary>Writes and reads the state of a run in a checkpoint file.</summary>
internal sealed class TrainingCheckpoint
{
    private const string OptimizerPrefix = "optimizer/", AveragePrefix = "average/";

    private const string BestEpochKey = "bestEpoch", NextBestEpochsKey = "nextBestEpochs";

    private readonly string _path;
    private readonly JsonObject _fingerprint;
    private readonly ModelDescription _description;

    /// <param name="path">The file.</param>
    /// <param name="fingerprint">The values that the result of the run depends on; see <see cref="RunFingerprint"/>.</param>
    /// <param name="description">Description of the model, stored so that the file can be used for fine-tuning.</param>
    public TrainingCheckpoint(string path, JsonObject fingerprint, ModelDescription description) => (_path, _fingerprint, _description) = (path, fingerprint, description);

    public void Write(TrainingState state)
    {
        var tensors = new StateDict();
        Add(CheckpointFile.WeightsPrefix, state.Weights);
        foreach (var (place, best) in state.Best.Index())
        {
            if (!ReferenceEquals(best.Weights, state.Weights))
                Add(place == 0 ? CheckpointFile.BestPrefix : NextBestPrefix(best.Epoch), best.Weights);
        }
        Add(OptimizerPrefix, state.Optimizer);
        if (state.Average is not null)
            Add(AveragePrefix, state.Average);
        var text = new JsonObject
        {
            ["run"] = _fingerprint.DeepClone(),
            [CheckpointFile.DescriptionKey] = new JsonObject(_description.ToProperties().Select(property => KeyValuePair.Create(property.Key, (JsonNode?)property.Value))),
            [BestEpochKey] = state.Best[0].Epoch,
            [NextBestEpochsKey] = new JsonArray([.. state.Best.Skip(1).Select(best => (JsonNode)best.Epoch)]),
            ["history"] = JsonSerializer.SerializeToNode([.. state.History], TrainingCheckpointJson.Default.ListEpochResult),
        };
        CheckpointFile.Write(_path, text.ToJsonString(), tensors);

        void Add(string prefix, StateDict part)
        {
            foreach (var (name, tensor) in part)
                tensors[prefix + name] = tensor;
        }
    }

    /// <returns>The state; null if there is no file.</returns>
    /// <exception cref="InvalidOperationException">The file belongs to a run with other data or options, or was written by a version that describes runs in another way.</exception>
    /// <exception cref="InvalidDataException">The file is damaged.</exception>
    public TrainingState? Read()
    {
        if (!File.Exists(_path))
            return null;
        var (text, tensors) = CheckpointFile.Read(_path);
        var json = Parse(text);
        var run = json["run"] as JsonObject ?? [];
        if (!RunFingerprint.IsCurrent(run))
            throw new InvalidOperationException($"The training checkpoint '{_path}' was written by an earlier or later version of this library, which describes its run in another way, so this version cannot tell whether the data and options are the same. Resume with that version, or specify another file and start a new run; PretrainedWeightsPath can start it from the weights of this file.");
        if (RunFingerprint.Difference(run, _fingerprint) is { } difference)
            throw new InvalidOperationException($"The training checkpoint '{_path}' belongs to another run: {difference}. Use the same data and options to resume, specify another file, or delete this file to start a new run.");
        var weights = CheckpointFile.Select(tensors, CheckpointFile.WeightsPrefix);
        var average = CheckpointFile.Select(tensors, AveragePrefix);
        var (bestEpochs, history) = Progress(json);
        return new TrainingState(
            weights,
            [.. bestEpochs.Select((epoch, place) => new EpochWeights(epoch, WeightsOf(epoch, place == 0 ? CheckpointFile.BestPrefix : NextBestPrefix(epoch))))],
            CheckpointFile.Select(tensors, OptimizerPrefix),
            average.Count == 0 ? null : average,
            history);

        // Without a moving average, those of the latest epoch are not stored twice.
        StateDict WeightsOf(int epoch, string prefix) =>
            CheckpointFile.Select(tensors, prefix) is { Count: > 0 } stored ? stored
            : epoch == history.Count && average.Count == 0 ? weights
            : throw Damaged(new JsonException($"the weights of epoch {epoch} are missing"));
    }

    /// <summary>The exception for a file whose checksum is right, but whose content is not that of a run.</summary>
    /// <param name="error">What is wrong.</param>
    public InvalidDataException Damaged(Exception error) => new($"The training checkpoint '{_path}' was not written by this library: {MessageText.Reason(error)}.", error);

    private JsonObject Parse(string text)
    {
        try
        {
            return JsonNode.Parse(text, documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false }) as JsonObject ?? throw new JsonException("it describes no run");
        }
        catch (JsonException error)
        {
            throw Damaged(error);
        }
    }

    private static string NextBestPrefix(int epoch) => string.Create(CultureInfo.InvariantCulture, $"best{epoch}/");

    private (int[] BestEpochs, List<EpochResult> History) Progress(JsonObject json)
    {
        try
        {
            var history = json["history"].Deserialize(TrainingCheckpointJson.Default.ListEpochResult);
            if (history is null or [] || history.Contains(null!))
                throw new JsonException("its list of epochs is missing");
            JsonNode?[] epochs = [json[BestEpochKey], .. json[NextBestEpochsKey] as JsonArray ?? throw new JsonException("its next best epochs are missing")];
            int[] best = [.. epochs.Select(node => node is JsonValue value && value.TryGetValue(out int epoch) && epoch >= 1 && epoch <= history.Count ? epoch : 0)];
            return best.Contains(0) || best.Distinct().Count() < best.Length ? throw new JsonException("its best epochs are missing") : (best, history);
        }
        catch (JsonException error)
        {
            throw Damaged(error);
        }
    }
}

/// <summary>Source-generated JSON serialization, which does not use reflection.</summary>
[JsonSerializable(typeof(List<EpochResult>))]
internal sealed partial class TrainingCheckpointJson : JsonSerializerContext;
