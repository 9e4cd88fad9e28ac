using RepVgg.Weights.Naming;

namespace RepVgg.Weights.Files;

/// <summary>Combines what a file says with the options of the caller, and lists what neither of them says.</summary>
internal static class WeightsAssumptions
{
    /// <summary>Sets the architecture's epsilon and the assumptions of weights that were read with options.</summary>
    /// <param name="path">The file.</param>
    /// <param name="weights">The weights. If the file has no description, their architecture was inferred with the strides and the block form of the options.</param>
    /// <param name="found">Assumptions that the reader of the format made.</param>
    /// <exception cref="ArgumentException">An option contradicts the file. The message names both values.</exception>
    public static LoadedWeights Complete(string path, LoadedWeights weights, IReadOnlyList<WeightsAssumption> found)
    {
        var (options, architecture) = (weights.Options, weights.Architecture);
        var assumptions = found.ToList();
        if (weights.Description is not null)
        {
            if (weights.Form == WeightsForm.Training && options.BlockForm is { } form && form != architecture.BlockForm)
                throw Contradiction("BlockForm", $"{form}", $"{architecture.BlockForm}");
            if (options.Strides is { } strides && !strides.SequenceEqual(architecture.Stages.Select(stage => stage.Stride)))
                throw Contradiction("Strides", string.Join(", ", strides), string.Join(", ", architecture.Stages.Select(stage => stage.Stride)));
        }
        else if (options.Strides is null)
        {
            assumptions.Add(WeightsAssumption.StridesOf(architecture));
        }

        if (options.BatchNormEpsilon is { } epsilon)
        {
            if (weights.Description is null && weights.Form == WeightsForm.Training)
                architecture = architecture with { BatchNormEpsilon = epsilon };
            else if (weights.Form == WeightsForm.Training && epsilon != architecture.BatchNormEpsilon)
                throw Contradiction("BatchNormEpsilon", $"{epsilon:g}", $"{architecture.BatchNormEpsilon:g}");
            else if (weights.Form == WeightsForm.Deploy && epsilon != weights.Description?.Architecture.BatchNormEpsilon)
                throw new ArgumentException($"'{path}' holds the deploy form, whose batch norms are fused, so that the option BatchNormEpsilon, {epsilon:g}, cannot be applied. Leave it out, or give the training form.");
        }
        else if (weights.Description is null && weights.Form == WeightsForm.Training)
        {
            assumptions.Add(WeightsAssumption.Epsilon(architecture.BatchNormEpsilon));
        }

        if (weights.Description is null && options.Height is null)
            assumptions.Add(WeightsAssumption.ImageSize(architecture));
        if (weights.Description is null && options.Normalization is null && architecture.InputChannels == 3)
            assumptions.Add(WeightsAssumption.ImageNetNormalization);
        return weights with { Architecture = architecture, Assumptions = assumptions };

        ArgumentException Contradiction(string option, string given, string stored) =>
            new($"The option {option} is {given}, but '{path}' says that it is {stored}. Leave the option out, or give the value of the file.");
    }
}
