using RepVgg.Architectures;
using RepVgg.Runtime.Files;
using RepVgg.Weights.Hdf5;
using RepVgg.Weights.Naming;

namespace RepVgg.Weights.Keras;

/// <summary>Writes the weights of a RepVGG for a Keras model with its layers, as a file <c>.weights.h5</c> of Keras 3.</summary>
/// <remarks>
/// The model must create, for each block, the layers that <see cref="KerasReader"/> describes, and have batch norms of Keras' default epsilon, 1e-3: another epsilon becomes part of their gamma, so that the batch norms compute the same in
/// evaluation mode. The weights are read there by <c>model.load_weights(path)</c>.
/// </remarks>
public static class KerasWriter
{
    /// <summary>Whether Keras pads the images of a size in another way than the architecture, so that kernels must be rotated.</summary>
    /// <remarks>
    /// Keras' padding 'same' adds one row of zeros below an input of even height to a convolution of stride 2 and none above; for odd heights, it adds one on both sides as PyTorch with padding 1 does. An even input with one row above and
    /// none below is its mirror image: with kernels and images that are rotated by 180 degrees, Keras computes the same.
    /// </remarks>
    /// <param name="architecture">The architecture.</param>
    /// <param name="imageHeight">Image height in pixels.</param>
    /// <param name="imageWidth">Image width in pixels.</param>
    /// <returns>True if images of this size must be rotated.</returns>
    public static bool NeedsRotation(RepVggArchitecture architecture, int imageHeight, int imageWidth)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        architecture.Validate();
        return !KerasReader.Padded(architecture, imageHeight, imageWidth).Stages.SequenceEqual(architecture.Stages);
    }

    /// <summary>Writes a file. The file is created or replaced only when it is complete.</summary>
    /// <param name="architecture">The architecture of the weights.</param>
    /// <param name="state">Weights of the training form <see cref="TrainingForm.RepVgg"/> or of the deploy form, under the authors' names. Auxiliary heads are left out.</param>
    /// <param name="path">The file. Keras requires a name that ends in <c>.weights.h5</c>.</param>
    /// <param name="imageHeight">Height in pixels of the images for which the Keras model is built.</param>
    /// <param name="imageWidth">Width in pixels of the images.</param>
    /// <param name="rotate">Whether all 3x3 kernels are rotated by 180 degrees, for images that are rotated by 180 degrees; see <see cref="NeedsRotation"/>. Only the deploy form can be rotated.</param>
    /// <exception cref="ArgumentException">The weights do not fit the architecture, or a Keras model of the port cannot compute what they compute; the message says why.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(RepVggArchitecture architecture, StateDict state, string path, int imageHeight, int imageWidth, bool rotate = false)
    {
        ArgumentNullException.ThrowIfNull(state);
        var writer = Layers(architecture, state, imageHeight, imageWidth, rotate);
        AtomicFile.Write(path, writer.Write);
    }

    /// <summary>Writes to a stream that can seek.</summary>
    internal static void Write(RepVggArchitecture architecture, StateDict state, Stream stream, int imageHeight, int imageWidth, bool rotate = false) =>
        Layers(architecture, state, imageHeight, imageWidth, rotate).Write(stream);

    private static Hdf5Writer Layers(RepVggArchitecture architecture, StateDict state, int imageHeight, int imageWidth, bool rotate)
    {
        bool needsRotation = NeedsRotation(architecture, imageHeight, imageWidth);
        var form = StateInference.FormOf(state);
        int classes = StateLayout.ClassesOf(state);
        Check(architecture, state, form, classes);
        if (rotate && form == WeightsForm.Training)
            throw new ArgumentException("Only the deploy form can be rotated: the 1x1 convolutions of the training form read another pixel of a rotated image. Write the deploy form, or weights for images of odd size, such as 225 x 225.", nameof(rotate));
        if (rotate && architecture.Stages.Any(stage => !stage.IsPaddedOnAllSides))
            throw new ArgumentException($"{architecture.Name} is padded as Keras pads images of {imageWidth}x{imageHeight} pixels; its kernels must not be rotated.", nameof(rotate));
        if (needsRotation && !rotate)
        {
            throw new ArgumentException(
                $"Keras pads images of {imageWidth}x{imageHeight} pixels on one side only in convolutions of stride 2, so that it would compute something else with these weights. Write them for images of odd size, such as 225 x 225; "
                + "or write the deploy form with kernels that are rotated by 180 degrees, and rotate every image by 180 degrees in Keras.", nameof(imageHeight));
        }
        var file = new Hdf5Writer();
        int convolutions = 0, norms = 0;
        foreach (var block in architecture.Blocks)
        {
            if (form == WeightsForm.Deploy)
            {
                AddConvolution($"{block.Name}.rbr_reparam");
            }
            else
            {
                if (block.HasIdentity)
                    AddNorm($"{block.Name}.rbr_identity");
                AddConvolution($"{block.Name}.rbr_dense.conv");
                AddNorm($"{block.Name}.rbr_dense.bn");
                AddConvolution($"{block.Name}.rbr_1x1.conv");
                AddNorm($"{block.Name}.rbr_1x1.bn");
            }
            if (block.SqueezeExcitationName is { } name)
            {
                AddConvolution($"{name}.down");
                AddConvolution($"{name}.up");
            }
        }
        if (classes > 0)
        {
            var weight = state["linear.weight"];
            file.Add("layers/dense/vars/0", new TensorData([weight.Shape[1], classes], Hwio(weight.Values, classes, weight.Shape[1], 1, false)));
            file.Add("layers/dense/vars/1", state["linear.bias"]);
        }
        return file;

        void AddConvolution(string name)
        {
            string layer = Numbered("conv2d", convolutions++);
            var kernel = state[$"{name}.weight"];
            int outputs = kernel.Shape[0], inputs = kernel.Shape[1], height = kernel.Shape[2], width = kernel.Shape[3];
            file.Add($"layers/{layer}/vars/0", new TensorData([height, width, inputs, outputs], Hwio(kernel.Values, outputs, inputs, height * width, rotate)));
            if (state.TryGet($"{name}.bias", out var bias))
                file.Add($"layers/{layer}/vars/1", bias);
        }

        void AddNorm(string name)
        {
            string layer = Numbered("batch_normalization", norms++);
            float[] variance = state[$"{name}.running_var"].Values;
            // gamma / sqrt(variance + epsilon) stays the same with Keras' epsilon.
            float[] gamma = [.. state[$"{name}.weight"].Values.Zip(variance, (value, spread) => (float)(value * Math.Sqrt((spread + (double)KerasReader.DefaultEpsilon) / (spread + (double)architecture.BatchNormEpsilon))))];
            file.Add($"layers/{layer}/vars/0", architecture.BatchNormEpsilon == KerasReader.DefaultEpsilon ? state[$"{name}.weight"] : new TensorData(gamma));
            file.Add($"layers/{layer}/vars/1", state[$"{name}.bias"]);
            file.Add($"layers/{layer}/vars/2", state[$"{name}.running_mean"]);
            file.Add($"layers/{layer}/vars/3", state[$"{name}.running_var"]);
        }

        static string Numbered(string type, int number) => number == 0 ? type : $"{type}_{number}";
    }

    private static void Check(RepVggArchitecture architecture, StateDict state, WeightsForm form, int classes)
    {
        if (form == WeightsForm.Deploy)
            StateLayout.Check(state, StateLayout.Deploy(architecture, classes), $"the deploy form of {architecture.Name} {StateLayout.WithClasses(classes)}", StateLayout.IsAuxiliary);
        else if (architecture.TrainingForm != TrainingForm.RepVgg)
            throw new ArgumentException($"Weights of the training form {architecture.TrainingForm} have no layers in a Keras model; write the deploy form.", nameof(architecture));
        else
            StateLayout.Check(state, [.. StateLayout.Training(architecture, classes).Where(entry => !StateLayout.IsAuxiliary(entry.Name))], $"the training form of {architecture.Name} {StateLayout.WithClasses(classes)}", StateLayout.IsAuxiliary);
        if (architecture.SqueezeExcitation == SqueezeExcitation.AfterRelu)
            throw new ArgumentException($"{architecture.Name} has squeeze-and-excitation after the ReLU, which the Keras model has before it.", nameof(architecture));
        if (architecture.OutputStride is not null)
            throw new ArgumentException($"{architecture.Name} has dilated convolutions, which the Keras model does not have.", nameof(architecture));
    }

    /// <summary>Reorders a kernel from OIHW to HWIO.</summary>
    private static float[] Hwio(float[] kernel, int outputs, int inputs, int taps, bool rotate)
    {
        var hwio = new float[kernel.Length];
        for (int o = 0, from = 0; o < outputs; o++)
        {
            for (int i = 0; i < inputs; i++)
            {
                for (int tap = 0; tap < taps; tap++, from++)
                    hwio[((rotate ? taps - 1 - tap : tap) * inputs + i) * outputs + o] = kernel[from];
            }
        }
        return hwio;
    }
}
