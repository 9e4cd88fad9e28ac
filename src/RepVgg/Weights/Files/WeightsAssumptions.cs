using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Weights.Naming;

namespace RepVgg.Weights.Files;

/// <summary>Combines what a file says with the options of the caller, and lists what neither of them says.</summary>
internal static class WeightsAssumptions
{
    /// <summary>Sets the architecture's epsilon and the assumptions of weights that were read with options.</summary>
    /// <param name="path">The file.</param>
    /// <param name="weights">The weights. If the file has no description, their architecture was inferred with the strides and the training form of the options.</param>
    /// <param name="found">Assumptions that the reader of the format made.</param>
    /// <param name="told">The architecture that the format tells without a description; null for none.</param>
    /// <exception cref="ArgumentException">An option contradicts the file. The message names both values.</exception>
    public static LoadedWeights Complete(string path, LoadedWeights weights, IReadOnlyList<WeightsAssumption> found, ToldArchitecture? told = null)
    {
        var (options, architecture) = (weights.Options, weights.Architecture);
        if (weights.Description is not null)
        {
            Check(path, options, weights.Form, architecture);
            return weights with { Assumptions = found };
        }
        var assumptions = found.ToList();
        if (told is { TellsStrides: true })
            Check(path, options with { BatchNormEpsilon = null }, weights.Form, architecture);
        else
            CheckDepths(path, options, architecture);
        if (told is not { TellsStrides: true } && options.Strides is null)
            assumptions.Add(WeightsAssumption.StridesOf(architecture));
        if (options.BatchNormEpsilon is { } epsilon)
            architecture = weights.Form == WeightsForm.Training ? architecture with { BatchNormEpsilon = epsilon } : throw IsFused(path, epsilon);
        else if (weights.Form == WeightsForm.Training && told is not { TellsEpsilon: true })
            assumptions.Add(told?.Epsilon ?? WeightsAssumption.Epsilon(architecture.BatchNormEpsilon));
        if (options.Height is null && told?.ImageSize is null)
            assumptions.Add(WeightsAssumption.ImageSize(architecture));
        if (options.Normalization is null && architecture.InputChannels == 3)
            assumptions.Add(WeightsAssumption.ImageNetNormalization(weights.Origin is "timm" or "MMPretrain" ? weights.Origin : null));
        return weights with { Architecture = architecture, Assumptions = assumptions };
    }

    /// <summary>Checks that options do not contradict the architecture that a file describes or that its graph computes.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">The options.</param>
    /// <param name="form">The form of the weights. The deploy form has no training form.</param>
    /// <param name="architecture">The architecture of the file.</param>
    /// <exception cref="ArgumentException">An option contradicts the file. The message names both values.</exception>
    public static void Check(string path, WeightsFileOptions options, WeightsForm form, RepVggArchitecture architecture)
    {
        if (form == WeightsForm.Training && options.TrainingForm is { } block && block != architecture.TrainingForm)
            throw Contradiction("TrainingForm", $"{block}", $"{architecture.TrainingForm}");
        if (options.Strides is { } strides && !strides.SequenceEqual(architecture.Stages.Select(stage => stage.Stride)))
            throw Contradiction("Strides", string.Join(", ", strides), string.Join(", ", architecture.Stages.Select(stage => stage.Stride)));
        CheckDepths(path, options, architecture);
        if (options.BatchNormEpsilon is { } epsilon && epsilon != architecture.BatchNormEpsilon)
            throw form == WeightsForm.Training ? Contradiction("BatchNormEpsilon", Text(epsilon), Text(architecture.BatchNormEpsilon)) : IsFused(path, epsilon);

        ArgumentException Contradiction(string option, string given, string stored) => WeightsAssumptions.Contradiction(path, option, given, stored);
    }

    private static void CheckDepths(string path, WeightsFileOptions options, RepVggArchitecture architecture)
    {
        var depths = architecture.Stages.Select(stage => stage.Depth);
        if (options.Depths is { } given && !given.SequenceEqual(depths))
            throw Contradiction(path, "Depths", string.Join(", ", given), string.Join(", ", depths));
    }

    private static ArgumentException Contradiction(string path, string option, string given, string stored) =>
        new($"The option {option} is {given}, but '{path}' says that it is {stored}. Leave the option out, or give the value of the file.");

    private static ArgumentException IsFused(string path, float epsilon) =>
        new($"'{path}' holds the deploy form, whose batch norms are fused, so that the option BatchNormEpsilon, {Text(epsilon)}, cannot be applied. Leave it out, or give the training form.");

    private static string Text(float value) => value.ToString("g", CultureInfo.InvariantCulture);
}
