using System.Text.Json.Serialization;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Runtime;

namespace RepVgg.Training;

/// <summary>Knowledge distillation: the network learns from the targets and from the class probabilities of a teacher.</summary>
/// <remarks>
/// Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2. With the logits z of the network, v of the teacher, the temperature T and the weight w, the loss is
/// (1 - w) CE(targets, softmax(z)) + w T^2 KL(softmax(v / T) || softmax(z / T)). The cross-entropy of softmax(v / T) and softmax(z / T) is used in place of the divergence; they differ by the entropy of the
/// teacher, which does not depend on the network, so that the gradients are the same.
/// </remarks>
/// <param name="Teacher">The teacher; its outputs are logits in the order of the network's classes. Its normalisation applies to raw pixels, and its image size does not matter.</param>
/// <param name="Temperature">Divides the logits, from <see cref="MinimumTemperature"/> to <see cref="MaximumTemperature"/>.</param>
/// <param name="Weight">Share of the teacher in the loss, more than 0 and at most 1.</param>
/// <param name="Threads">Maximum number of threads of the teacher; 0 for all cores. The results do not depend on it.</param>
internal sealed record Distillation([property: JsonIgnore] DeployNetwork Teacher, float Temperature, float Weight, [property: JsonIgnore] int Threads = 0)
{
    /// <summary>Smallest temperature. With smaller ones, the term of the teacher, which is multiplied by their square, would vanish.</summary>
    public const float MinimumTemperature = 0.01f;

    /// <summary>Largest temperature. With larger ones, the probabilities of all classes would be the same in 32-bit floats.</summary>
    public const float MaximumTemperature = 1000;

    /// <summary>Hash of the teacher's weights; the order of its classes is part of it.</summary>
    public string TeacherHash { get; } = Teacher.ExportState().Hash();

    /// <summary>The normalisation of the teacher, as text.</summary>
    public string TeacherNormalization { get; } = Teacher.Normalization.ToString();

    /// <summary>Selects and orders the classes of a network.</summary>
    /// <param name="network">A network that returns logits.</param>
    /// <param name="names">Names of its classes, in the order of the logits.</param>
    /// <param name="wanted">Names of the classes of the result. Classes of the network that are not among them are left out.</param>
    /// <returns>The network with the logits of these classes.</returns>
    /// <exception cref="ArgumentException">The network has no class of a name, or two.</exception>
    public static DeployNetwork SelectClasses(DeployNetwork network, IReadOnlyList<string> names, IReadOnlyList<string> wanted)
    {
        var classifier = network.Classifier;
        if (names.Count != classifier.OutputFeatures)
            throw new ArgumentException($"{names.Count} names of classes were given for the {classifier.OutputFeatures} classes of the teacher.");
        var known = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var (index, name) in names.Index())
        {
            if (!known.TryAdd(name, index))
                throw new ArgumentException($"Two classes of the teacher are named '{MessageText.Printable(name)}', so that it cannot be told which is which.");
        }
        string[] missing = [.. wanted.Where(name => !known.ContainsKey(name))];
        if (missing.Length > 0)
            throw new ArgumentException($"The teacher does not know the {(missing.Length == 1 ? "class" : "classes")} '{MessageText.Join(missing, separator: "', '")}'. It knows '{MessageText.Join([.. names], separator: "', '")}'.");
        int[] rows = [.. wanted.Select(name => known[name])];
        int width = classifier.InputFeatures;
        return network with
        {
            Classifier = classifier with
            {
                OutputFeatures = rows.Length,
                Weight = [.. rows.SelectMany(row => classifier.Weight.AsSpan(row * width, width).ToArray())],
                Bias = [.. rows.Select(row => classifier.Bias[row])],
            },
        };
    }

    /// <summary>Checks the values, and that the teacher can be used for a network.</summary>
    /// <exception cref="ArgumentException">A value is out of range, or the teacher has other channels or another number of classes.</exception>
    public void Validate(int channels, int height, int width, int classes)
    {
        TrainingOptions.Require(Temperature is >= MinimumTemperature and <= MaximumTemperature, nameof(Temperature), Temperature, FormattableString.Invariant($"from {MinimumTemperature} to {MaximumTemperature}"));
        TrainingOptions.Require(Weight is > 0 and <= 1, nameof(Weight), Weight, "more than 0 and at most 1; leave Distillation out to train without a teacher");
        if (Teacher.Output != NetworkOutput.Logits || Teacher.Classes != classes)
            throw new ArgumentException($"The teacher has {Teacher.Classes} classes, but the network has {classes}.");
        if (Teacher.Architecture.InputChannels != channels)
            throw new ArgumentException($"The teacher reads images of {Teacher.Architecture.InputChannels} channel(s), but the training images have {channels}.");
        Teacher.Architecture.ValidateImageSize(height, width);
    }

    /// <summary>Computes the loss.</summary>
    /// <param name="backend">The backend of the logits.</param>
    /// <param name="logits">Logits of the network, [N, classes].</param>
    /// <param name="targetLoss">Cross-entropy of the targets and the logits, a scalar.</param>
    /// <param name="teacherTargets">Probabilities of the teacher, see <see cref="TeacherTargets"/>.</param>
    /// <returns>A scalar: the loss, plus a constant.</returns>
    public Tensor Loss(Backend backend, Tensor logits, Tensor targetLoss, ReadOnlySpan<float> teacherTargets)
    {
        var teacherLoss = backend.Scale(backend.SoftmaxCrossEntropy(backend.Scale(logits, 1 / Temperature), teacherTargets), Weight * Temperature * Temperature);
        return Weight == 1 ? teacherLoss : backend.Add(backend.Scale(targetLoss, 1 - Weight), teacherLoss);
    }
}
