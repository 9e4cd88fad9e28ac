using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Networks;

/// <summary>What a network predicts from the maps of its backbone: the tensors of its heads, and how the heads are created.</summary>
/// <param name="backbone">The architecture of the backbone.</param>
/// <param name="classes">Number of classes.</param>
internal abstract class NetworkHeads(RepVggArchitecture backbone, int classes)
{
    /// <summary>The architecture of the backbone.</summary>
    public RepVggArchitecture Backbone => backbone;

    /// <summary>Number of classes.</summary>
    public int Classes => classes;

    /// <summary>All tensors of the training form, those of the backbone first.</summary>
    public abstract IReadOnlyList<StateEntry> Layout { get; }

    /// <summary>Throws an exception if images of a size do not suit the network.</summary>
    /// <exception cref="ArgumentException">The message states the smallest size.</exception>
    public abstract void ValidateImageSize(int height, int width);

    /// <summary>Whether the learning rate of a parameter is that of the heads, see <c>HeadLearningRateScale</c>.</summary>
    public abstract bool HasHeadLearningRate(string parameter);

    /// <summary>Whether a tensor belongs to the auxiliary head of a stage.</summary>
    /// <param name="tensor">Name of the tensor.</param>
    /// <param name="stage">Index of the stage, from 0 for the stem.</param>
    public abstract bool IsAuxiliaryOf(string tensor, int stage);

    /// <summary>Creates the head that reads the last map.</summary>
    /// <param name="tensors">The tensors of the network.</param>
    /// <param name="quantization">The fake quantization of the network; null for none.</param>
    public abstract TrainingHead CreateMain(ITrainingTensors tensors, FakeQuantization? quantization);

    /// <summary>Creates the auxiliary head that reads the map of a stage; null if the stage has none.</summary>
    /// <param name="stage">Index of the stage, from 0 for the stem.</param>
    /// <param name="tensors">The tensors of the network.</param>
    public abstract TrainingHead? CreateAuxiliary(int stage, ITrainingTensors tensors);

    /// <summary>Checks that weights are those of the training form.</summary>
    /// <exception cref="ArgumentException">Tensors are missing or surplus, or have a wrong shape.</exception>
    public abstract void Check(StateDict state);

    /// <summary>Checks weights of a network with the same backbone, from which training can start.</summary>
    /// <param name="state">The weights.</param>
    /// <returns>Tells whether a tensor keeps its initial values, because the weights do not contain it or it belongs to a head of other classes.</returns>
    /// <exception cref="ArgumentException">Tensors of the backbone are missing, or have a wrong shape.</exception>
    public abstract Func<string, bool> CheckPretrained(StateDict state);
}

/// <summary>The heads of a network for classification: the classifier, and the auxiliary classifiers of RepVGGplus.</summary>
internal sealed class ClassifierHeads(RepVggArchitecture architecture, int classes) : NetworkHeads(architecture, classes)
{
    /// <inheritdoc/>
    public override IReadOnlyList<StateEntry> Layout => StateLayout.Training(Backbone, Classes);

    /// <inheritdoc/>
    public override void ValidateImageSize(int height, int width) => Backbone.ValidateImageSize(height, width);

    /// <inheritdoc/>
    public override bool HasHeadLearningRate(string parameter) => StateLayout.GivesLogits(parameter);

    /// <inheritdoc/>
    public override bool IsAuxiliaryOf(string tensor, int stage) => tensor.StartsWith($"{Backbone.Stages[stage].Name}{StateLayout.AuxiliarySuffix}.", StringComparison.Ordinal);

    /// <inheritdoc/>
    public override TrainingHead CreateMain(ITrainingTensors tensors, FakeQuantization? quantization) =>
        new ClassifierHead(tensors, quantization, quantization is { Layers.Classifier: true } ? tensors.Constant(TensorData.Zeros(Classes)) : null);

    /// <inheritdoc/>
    public override TrainingHead? CreateAuxiliary(int stage, ITrainingTensors tensors) =>
        Backbone.Stages[stage].AuxiliaryHead ? new AuxiliaryClassifierHead(Backbone.Stages[stage].Name + StateLayout.AuxiliarySuffix, tensors) : null;

    /// <inheritdoc/>
    public override void Check(StateDict state) =>
        StateInference.CheckTraining(state, Backbone, Classes, $"the training form {Backbone.TrainingForm} of {Backbone.Name} with {Classes} classes");

    /// <inheritdoc/>
    public override Func<string, bool> CheckPretrained(StateDict state)
    {
        int present = StateLayout.ClassesOf(state);
        StateInference.CheckTraining(state, Backbone, present, $"the training form {Backbone.TrainingForm} of {Backbone.Name}");
        return name => present != Classes && (StateLayout.GivesLogits(name) || (present == 0 && StateLayout.IsAuxiliary(name)));
    }
}

/// <summary>The heads of a network for semantic segmentation: pyramid pooling, and an auxiliary head on the stage before the last.</summary>
internal sealed class PspNetHeads(PspNetArchitecture architecture) : NetworkHeads(architecture.Backbone, architecture.Classes)
{
    /// <summary>The architecture of the network.</summary>
    public PspNetArchitecture Architecture => architecture;

    /// <inheritdoc/>
    public override IReadOnlyList<StateEntry> Layout => PspNetLayout.Training(architecture);

    /// <inheritdoc/>
    public override void ValidateImageSize(int height, int width) => architecture.ValidateImageSize(height, width);

    /// <summary>As in the authors' training code of PSPNet, all layers that are not part of the backbone.</summary>
    /// <inheritdoc/>
    public override bool HasHeadLearningRate(string parameter) => PspNetLayout.IsHead(parameter);

    /// <inheritdoc/>
    public override bool IsAuxiliaryOf(string tensor, int stage) => stage == architecture.AuxiliaryStage && PspNetLayout.IsAuxiliary(tensor);

    /// <inheritdoc/>
    public override TrainingHead CreateMain(ITrainingTensors tensors, FakeQuantization? quantization) => new PyramidHead(architecture, tensors);

    /// <inheritdoc/>
    public override TrainingHead? CreateAuxiliary(int stage, ITrainingTensors tensors) =>
        stage == architecture.AuxiliaryStage && architecture.AuxiliaryWidth > 0 ? new PixelHead("aux", 1, architecture.AlignCorners, tensors) : null;

    /// <inheritdoc/>
    public override void Check(StateDict state) =>
        StateLayout.Check(state, Layout, $"the training form {Backbone.TrainingForm} of a PSPNet on {Backbone.Name} with {Classes} classes");

    /// <summary>The weights can be those of a classifier or of its backbone, whose classifiers are left out, or of a PSPNet, whose heads are used if all of them fit.</summary>
    /// <inheritdoc/>
    public override Func<string, bool> CheckPretrained(StateDict state)
    {
        if (StateLayout.Fits(state, Layout))
            return _ => false;
        StateLayout.Check(
            state, StateLayout.Training(Backbone, 0), $"the backbone {Backbone.Name} in the training form {Backbone.TrainingForm}",
            name => PspNetLayout.IsHead(name) || StateLayout.IsAuxiliary(name) || name.StartsWith("linear.", StringComparison.Ordinal), () => StateInference.OtherFormThan(Backbone.TrainingForm, state));
        return PspNetLayout.IsHead;
    }
}
