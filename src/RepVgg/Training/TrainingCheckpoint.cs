using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;

namespace RepVgg.Training;

/// <summary>The state that is needed to resume a run after an epoch.</summary>
/// <param name="Weights">Parameters and running statistics.</param>
/// <param name="Best">The best weights; the same object as <paramref name="Weights"/> if the latest weights are the best.</param>
/// <param name="BestEpoch">The epoch of the best weights, from 1.</param>
/// <param name="Optimizer">The optimizer's state: its slots by name.</param>
/// <param name="Average">The moving average of the weights; null if averaging is disabled.</param>
/// <param name="History">Results of all finished epochs. Their number determines the position in the learning rate schedule, the shuffling and the augmentation, which depend only on the seed and the epoch.</param>
internal sealed record TrainingState(
    StateDict Weights, StateDict Best, int BestEpoch, StateDict Optimizer, StateDict? Average, IReadOnlyList<EpochResult> History);

/// <summary>Writes and reads the state of a run in a checkpoint file.</summary>
internal sealed class TrainingCheckpoint
{
    private const string OptimizerPrefix = "optimizer/", AveragePrefix = "average/";

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
        if (!ReferenceEquals(state.Best, state.Weights))
            Add(CheckpointFile.BestPrefix, state.Best);
        Add(OptimizerPrefix, state.Optimizer);
        if (state.Average is not null)
            Add(AveragePrefix, state.Average);
        var text = new JsonObject
        {
            ["run"] = _fingerprint.DeepClone(),
            [CheckpointFile.DescriptionKey] = new JsonObject(_description.ToProperties().Select(property => KeyValuePair.Create(property.Key, (JsonNode?)property.Value))),
            ["bestEpoch"] = state.BestEpoch,
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
    public TrainingState? Read()
    {
        if (!File.Exists(_path))
            return null;
        var (text, tensors) = CheckpointFile.Read(_path);
        var json = JsonNode.Parse(text)!.AsObject();
        var run = json["run"] as JsonObject ?? [];
        if (!RunFingerprint.IsCurrent(run))
            throw new InvalidOperationException($"The training checkpoint '{_path}' was written by an earlier or later version of this library, which describes its run in another way, so this version cannot tell whether the data and options are the same. Resume with that version, or specify another file and start a new run; PretrainedWeightsPath can start it from the weights of this file.");
        if (RunFingerprint.Difference(run, _fingerprint) is { } difference)
            throw new InvalidOperationException($"The training checkpoint '{_path}' belongs to another run: {difference}. Use the same data and options to resume, specify another file, or delete this file to start a new run.");
        StateDict weights = CheckpointFile.Select(tensors, CheckpointFile.WeightsPrefix), best = CheckpointFile.Select(tensors, CheckpointFile.BestPrefix);
        var average = CheckpointFile.Select(tensors, AveragePrefix);
        return new TrainingState(
            weights,
            best.Count == 0 ? weights : best,
            (int)json["bestEpoch"]!,
            CheckpointFile.Select(tensors, OptimizerPrefix),
            average.Count == 0 ? null : average,
            json["history"].Deserialize(TrainingCheckpointJson.Default.ListEpochResult)!);
    }
}

/// <summary>Source-generated JSON serialization, which does not use reflection.</summary>
[JsonSerializable(typeof(List<EpochResult>))]
internal sealed partial class TrainingCheckpointJson : JsonSerializerContext;
