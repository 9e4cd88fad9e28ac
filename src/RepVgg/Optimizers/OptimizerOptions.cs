using System.Text.Json.Serialization;

namespace RepVgg.Optimizers;

/// <summary>The algorithm of an optimizer and its hyperparameters: <see cref="SgdOptions"/>, <see cref="AdamWOptions"/> or <see cref="RepOptimizerOptions"/>. Other assemblies cannot derive from this record.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "Algorithm")]
[JsonDerivedType(typeof(SgdOptions), "SGD")]
[JsonDerivedType(typeof(AdamWOptions), "AdamW")]
[JsonDerivedType(typeof(RepOptimizerOptions), "RepOptimizer")]
public abstract record OptimizerOptions
{
    private protected OptimizerOptions()
    {
    }

    /// <summary>The peak learning rate of a run that gives none.</summary>
    internal abstract float DefaultLearningRate { get; }

    /// <summary>The weight decay of a run that gives none.</summary>
    internal abstract float DefaultWeightDecay { get; }

    /// <summary>Names of the tensors that the optimizer stores for every parameter, in the parameter's shape, as in PyTorch's state of an optimizer.</summary>
    internal abstract IReadOnlyList<string> Slots { get; }

    /// <summary>Name of the algorithm, for display.</summary>
    internal abstract string Name { get; }

    /// <summary>Whether the optimizer needs the number of updates of every parameter, which is then part of its state.</summary>
    internal virtual bool CountsSteps => false;

    /// <summary>Throws an exception if a hyperparameter is out of range.</summary>
    /// <exception cref="ArgumentException">A hyperparameter is out of range; the message names it.</exception>
    internal abstract void Validate();

    private protected static void Require(bool condition, string name, object value, string range)
    {
        if (!condition)
            throw new ArgumentException(FormattableString.Invariant($"{name} is {value}; it must be {range}."), name);
    }
}
