using System.Text.Json;

namespace RepVgg.Architectures;

/// <summary>Reads and writes the JSON form of an architecture that model files contain.</summary>
internal static class ArchitectureJson
{
    private const int MaximumStages = 1024;

    /// <summary>Writes an architecture as one JSON object.</summary>
    /// <param name="writer">The JSON writer.</param>
    /// <param name="architecture">The architecture.</param>
    public static void Write(Utf8JsonWriter writer, RepVggArchitecture architecture)
    {
        ArgumentNullException.ThrowIfNull(writer);
        ArgumentNullException.ThrowIfNull(architecture);
        writer.WriteStartObject();
        writer.WriteString("name", architecture.Name);
        writer.WriteNumber("input_channels", architecture.InputChannels);
        writer.WriteNumber("groups", architecture.Groups);
        writer.WriteString("squeeze_excitation", architecture.SqueezeExcitation.ToString());
        // Older versions of this library do not know this property; the default form is not written, so that they can read it.
        if (architecture.TrainingForm != default)
            writer.WriteString("training_form", architecture.TrainingForm.ToString());
        if (architecture.ConvolutionBranches != RepVggArchitecture.DefaultConvolutionBranches)
            writer.WriteNumber("convolution_branches", architecture.ConvolutionBranches);
        writer.WriteBoolean("plus_layout", architecture.PlusLayout);
        if (architecture.GroupsRestartInStages)
            writer.WriteBoolean("groups_restart_in_stages", true);
        if (architecture.OutputStride is { } outputStride)
            writer.WriteNumber("output_stride", outputStride);
        if (architecture.DilatedBlocks is { } dilatedBlocks)
            writer.WriteNumber("dilated_blocks", dilatedBlocks);
        writer.WriteNumber("batch_norm_epsilon", architecture.BatchNormEpsilon);
        writer.WriteNumber("default_image_size", architecture.DefaultImageSize);
        writer.WriteStartArray("stages");
        foreach (var stage in architecture.Stages)
        {
            writer.WriteStartObject();
            writer.WriteString("name", stage.Name);
            writer.WriteNumber("width", stage.Width);
            writer.WriteNumber("depth", stage.Depth);
            writer.WriteNumber("stride", stage.Stride);
            if (stage.AuxiliaryHead)
                writer.WriteBoolean("auxiliary_head", true);
            if (!stage.IsPaddedOnAllSides)
            {
                writer.WriteNumber("padding_top", stage.PaddingTop);
                writer.WriteNumber("padding_left", stage.PaddingLeft);
            }
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    /// <summary>Reads and validates an architecture that <see cref="Write"/> wrote.</summary>
    /// <param name="json">The JSON object.</param>
    /// <returns>The architecture.</returns>
    /// <exception cref="FormatException">A property is missing or has the wrong type.</exception>
    /// <exception cref="ArgumentException">The architecture is invalid.</exception>
    public static RepVggArchitecture Read(JsonElement json)
    {
        try
        {
            var stages = json.GetProperty("stages");
            if (stages.GetArrayLength() > MaximumStages)
                throw new FormatException($"it has more than {MaximumStages} stages");
            var architecture = new RepVggArchitecture
            {
                Name = json.GetProperty("name").GetString()!,
                InputChannels = json.GetProperty("input_channels").GetInt32(),
                Groups = json.GetProperty("groups").GetInt32(),
                SqueezeExcitation = Enum.Parse<SqueezeExcitation>(json.GetProperty("squeeze_excitation").GetString() ?? ""),
                TrainingForm = json.TryGetProperty("training_form", out var form) ? ReadForm(form.GetString()) : default,
                ConvolutionBranches = json.TryGetProperty("convolution_branches", out var branches) ? branches.GetInt32() : RepVggArchitecture.DefaultConvolutionBranches,
                PlusLayout = json.GetProperty("plus_layout").GetBoolean(),
                GroupsRestartInStages = json.TryGetProperty("groups_restart_in_stages", out var restart) && restart.GetBoolean(),
                OutputStride = json.TryGetProperty("output_stride", out var outputStride) ? outputStride.GetInt32() : null,
                DilatedBlocks = json.TryGetProperty("dilated_blocks", out var dilatedBlocks) ? dilatedBlocks.GetInt32() : null,
                BatchNormEpsilon = json.GetProperty("batch_norm_epsilon").GetSingle(),
                DefaultImageSize = json.GetProperty("default_image_size").GetInt32(),
                Stages =
                [
                    .. stages.EnumerateArray().Select(stage => new StageSpec(
                        stage.GetProperty("name").GetString()!,
                        stage.GetProperty("width").GetInt32(),
                        stage.GetProperty("depth").GetInt32(),
                        stage.GetProperty("stride").GetInt32(),
                        stage.TryGetProperty("auxiliary_head", out var head) && head.GetBoolean())
                    {
                        PaddingTop = stage.TryGetProperty("padding_top", out var top) ? top.GetInt32() : 1,
                        PaddingLeft = stage.TryGetProperty("padding_left", out var left) ? left.GetInt32() : 1,
                    }),
                ],
            };
            architecture.Validate();
            return architecture;
        }
        catch (Exception error) when (error is InvalidOperationException or KeyNotFoundException)
        {
            throw new FormatException($"The description of the architecture is damaged: {error.Message}", error);
        }
    }

    private static TrainingForm ReadForm(string? name) => Enum.TryParse<TrainingForm>(name, out var form) && Enum.IsDefined(form)
        ? form
        : throw new FormatException($"the training form '{name}' is unknown to this version of the library");
}
