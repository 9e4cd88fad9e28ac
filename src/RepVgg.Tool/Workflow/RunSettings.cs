using System.Text.Json;
using System.Text.Json.Serialization;
using RepVgg.Training;

namespace RepVgg.Tool.Workflow;

/// <summary>The settings of a run, which its file args.json lists.</summary>
internal static class RunSettings
{
    private static readonly JsonSerializerOptions _hyperparameters = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        Converters = { new JsonStringEnumConverter() },
    };

    /// <summary>Adds every hyperparameter of a training.</summary>
    /// <param name="settings">The settings.</param>
    /// <param name="training">The options of the training loop, with the values that the run has.</param>
    public static void AddHyperparameters(Dictionary<string, object?> settings, TrainingOptions training)
    {
        var hyperparameters = JsonSerializer.SerializeToNode(training with { LearningRate = training.ActualLearningRate, LearningRateBaseSize = null, WeightDecay = training.ActualWeightDecay }, _hyperparameters)!.AsObject();
        foreach (var (name, value) in hyperparameters)
            settings[name] = value?.DeepClone();
    }
}
