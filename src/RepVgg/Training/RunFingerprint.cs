using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Describes everything that the result of a run depends on, as a flat JSON object of names and values.</summary>
internal static class RunFingerprint
{
    private const int SampledImages = 64;

    public static JsonObject Of(TrainingNetwork network, ISampleSource train, ISampleSource? validation, Normalization normalization, TrainingOptions options)
    {
        var architecture = network.Architecture;
        return new JsonObject
        {
            ["Architecture"] = architecture.Name,
            ["Layout"] = string.Join(" ", architecture.Blocks.Select(b => $"{b.Name}:{b.InputChannels}-{b.OutputChannels}/{b.Stride}g{b.Groups}{b.SqueezeExcitation}{b.Form}")) + $" eps {architecture.BatchNormEpsilon:R}",
            ["Classes"] = network.Classes,
            ["Pretrained weights"] = network.PretrainedHash is { } hash ? hash[..16] : "none",
            [nameof(network.FrozenStages)] = network.FrozenStages,
            ["FreezeBatchNorm"] = network.FreezesBatchNorm,
            ["Mean"] = ToJson(normalization.Mean),
            ["Scale"] = ToJson(normalization.Scale),
            ["Training set"] = Describe(train),
            ["Validation set"] = validation is null ? "none" : Describe(validation),
            [nameof(options.Epochs)] = options.Epochs,
            [nameof(options.BatchSize)] = options.BatchSize,
            [nameof(options.LearningRate)] = options.LearningRate,
            [nameof(options.LearningRateScheduler)] = options.LearningRateScheduler.ToString(),
            [nameof(options.WeightDecay)] = options.WeightDecay,
            [nameof(options.Momentum)] = options.Momentum,
            [nameof(options.Nesterov)] = options.Nesterov,
            [nameof(options.LabelSmoothing)] = options.LabelSmoothing,
            [nameof(options.CustomL2)] = options.CustomL2,
            [nameof(options.Dropout)] = options.Dropout,
            [nameof(options.StochasticDepth)] = options.StochasticDepth,
            [nameof(options.HeadLearningRateScale)] = options.HeadLearningRateScale,
            [nameof(options.AuxiliaryLossWeight)] = options.AuxiliaryLossWeight,
            [nameof(options.EmaDecay)] = options.EmaDecay,
            [nameof(options.Augmentation)] = options.Augmentation.ToString(),
            [nameof(options.EarlyStoppingCriteria)] = options.EarlyStoppingCriteria?.ToString() ?? "none",
            [nameof(options.MonitoredMetric)] = options.MonitoredMetric.ToString(),
            [nameof(options.Seed)] = options.Seed,
        };
    }

    /// <summary>Returns the first difference as text for an error message; null if there is none.</summary>
    public static string? Difference(JsonObject written, JsonObject present)
    {
        foreach (string name in present.Select(pair => pair.Key).Union(written.Select(pair => pair.Key)))
        {
            string before = written[name]?.ToJsonString() ?? "not given", now = present[name]?.ToJsonString() ?? "not given";
            if (before != now)
                return $"{name} was {before} and is {now}";
        }
        return null;
    }

    private static JsonArray ToJson(ImmutableArray<float> values) => new([.. values.Select(value => (JsonNode)value)]);

    /// <summary>Returns the number and size of the images, and a hash of all labels and of up to 64 images.</summary>
    private static string Describe(ISampleSource source)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var labels = new int[source.Count];
        for (int i = 0; i < labels.Length; i++)
            labels[i] = source.LabelOf(i);
        hash.AppendData(MemoryMarshal.AsBytes(labels.AsSpan()));
        var pixels = new float[source.Channels * source.Height * source.Width];
        for (int i = 0; i < Math.Min(SampledImages, source.Count); i++)
        {
            source.Read((int)((long)i * source.Count / Math.Min(SampledImages, source.Count)), pixels);
            hash.AppendData(MemoryMarshal.AsBytes(pixels.AsSpan()));
        }
        return $"{source.Count} images {source.Channels}x{source.Height}x{source.Width}, {Convert.ToHexStringLower(hash.GetHashAndReset())[..16]}";
    }
}
