using RepVgg.Architectures;

namespace RepVgg.Weights.Naming;

/// <summary>The names and shapes of a PSPNet's tensors: those of the backbone under the RepVGG authors' names, and those of the heads as in the authors' example and in semseg.</summary>
/// <remarks><c>ppm.features.I.1</c> and <c>.2</c> are the convolution and the batch norm of a grid of averages, <c>cls.0</c>, <c>cls.1</c> and <c>cls.4</c> those of the head, <c>aux.0</c>, <c>aux.1</c> and <c>aux.4</c> those of the auxiliary head.</remarks>
internal static class PspNetLayout
{
    /// <summary>Name of the convolution of a grid of averages.</summary>
    public static string Branch(int bin) => $"ppm.features.{bin}.1";

    /// <summary>Name of the batch norm of a grid of averages.</summary>
    public static string BranchNorm(int bin) => $"ppm.features.{bin}.2";

    /// <summary>Whether a tensor belongs to the auxiliary head.</summary>
    public static bool IsAuxiliary(string name) => name.StartsWith("aux.", StringComparison.Ordinal);

    /// <summary>Whether a tensor belongs to a head, not to the backbone.</summary>
    public static bool IsHead(string name) => IsAuxiliary(name) || name.StartsWith("ppm.", StringComparison.Ordinal) || name.StartsWith("cls.", StringComparison.Ordinal);

    /// <summary>Returns the weights of the backbone; the tensors are shared.</summary>
    public static StateDict BackboneOf(StateDict state)
    {
        var backbone = new StateDict();
        foreach (var (name, tensor) in state)
        {
            if (!IsHead(name))
                backbone[name] = tensor;
        }
        return backbone;
    }

    /// <summary>Returns the tensors of the training form.</summary>
    public static IReadOnlyList<StateEntry> Training(PspNetArchitecture architecture) => [.. StateLayout.Training(architecture.Backbone, 0), .. Heads(architecture, isFused: false)];

    /// <summary>Returns the tensors of the deploy form.</summary>
    public static IReadOnlyList<StateEntry> Deploy(PspNetArchitecture architecture) => [.. StateLayout.Deploy(architecture.Backbone, 0), .. Heads(architecture, isFused: true)];

    private static List<StateEntry> Heads(PspNetArchitecture architecture, bool isFused)
    {
        var entries = new List<StateEntry>();
        for (int i = 0; i < architecture.Bins.Length; i++)
            ConvolutionAndNorm(Branch(i), BranchNorm(i), architecture.ActualBranchWidth, architecture.Backbone.FeatureWidth, 1);
        ConvolutionAndNorm("cls.0", "cls.1", architecture.HeadWidth, architecture.ConcatenatedWidth, 3);
        Convolution("cls.4", architecture.Classes, architecture.HeadWidth);
        if (!isFused && architecture.AuxiliaryWidth > 0)
        {
            ConvolutionAndNorm("aux.0", "aux.1", architecture.AuxiliaryWidth, architecture.Backbone.Stages[architecture.AuxiliaryStage].Width, 3);
            Convolution("aux.4", architecture.Classes, architecture.AuxiliaryWidth);
        }
        return entries;

        void ConvolutionAndNorm(string convolution, string norm, int outputs, int inputs, int size)
        {
            int fan = inputs * size * size;
            entries.Add(new StateEntry($"{convolution}.weight", [outputs, inputs, size, size], StateKind.ConvWeight, fan));
            if (isFused)
            {
                entries.Add(new StateEntry($"{convolution}.bias", [outputs], StateKind.ConvBias, fan));
                return;
            }
            entries.Add(new StateEntry($"{norm}.weight", [outputs], StateKind.NormWeight));
            entries.Add(new StateEntry($"{norm}.bias", [outputs], StateKind.NormBias));
            entries.Add(new StateEntry($"{norm}.running_mean", [outputs], StateKind.RunningMean));
            entries.Add(new StateEntry($"{norm}.running_var", [outputs], StateKind.RunningVariance));
        }

        void Convolution(string name, int outputs, int inputs)
        {
            entries.Add(new StateEntry($"{name}.weight", [outputs, inputs, 1, 1], StateKind.ConvWeight, inputs));
            entries.Add(new StateEntry($"{name}.bias", [outputs], StateKind.ConvBias, inputs));
        }
    }
}
