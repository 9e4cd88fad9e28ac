using System.Text.Json;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tool.Tests;

[Collection(ConsoleCollection.Name)]
public sealed class PresetTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_arguments_of_a_run_have_every_number_of_the_preset()
    {
        string data = Pictures.Folder(_folder, "data", 8), run = Path.Combine(_folder.File("runs"), "train");
        string[] train = ["train", data, "--output", _folder.File("runs"), "--device", "cpu", "--threads", "1", "--image-size", "16"];
        Programs.Tool.Succeeds([.. train, "--preset", "CIFAR", "--epochs", "1", "--batch-size", "12"]);
        using var settings = JsonDocument.Parse(File.ReadAllText(Path.Combine(run, "args.json")));
        JsonElement Value(string name) => name.Split('.').Aggregate(settings.RootElement, (element, part) => element.GetProperty(part));
        Assert.Equal("CIFAR", Value("preset").GetString());
        // Options of the command line change the preset.
        Assert.Equal(1, Value("epochs").GetInt32());
        Assert.Equal(12, Value("batch_size").GetInt32());
        Assert.Equal(0.1, Value("learning_rate").GetDouble(), 1e-6);
        Assert.Equal(5e-4, Value("weight_decay").GetDouble(), 1e-8);
        Assert.Equal(0.9, Value("optimizer.momentum").GetDouble(), 1e-6);
        Assert.True(Value("optimizer.nesterov").GetBoolean());
        Assert.Equal("Cosine", Value("learning_rate_scheduler.shape").GetString());
        Assert.Equal(4, Value("augmentation.crop_padding").GetInt32());
        Assert.True(Value("augmentation.horizontal_flip").GetBoolean());
        Assert.Equal(1, Value("gradient_accumulation_steps").GetInt32());
        Assert.Equal(16, Value("image_width").GetInt32());
        Assert.Equal(1, Value("crop_fraction").GetDouble());

        Assert.Equal(JsonValueKind.Null, Value("progressive_resizing").ValueKind);

        // Without a preset, the default augmentation depends on the size of the images.
        Programs.Tool.Succeeds([.. train, "--name", "plain", "--epochs", "2", "--progressive-resizing"]);
        using var plain = JsonDocument.Parse(File.ReadAllText(Path.Combine(_folder.File("runs"), "plain", "args.json")));
        Assert.Equal(JsonValueKind.Null, plain.RootElement.GetProperty("preset").ValueKind);
        Assert.Equal(2, plain.RootElement.GetProperty("augmentation").GetProperty("crop_padding").GetInt32());
        Assert.Equal(32, plain.RootElement.GetProperty("batch_size").GetInt32());
        Assert.Equal(0.5, plain.RootElement.GetProperty("progressive_resizing").GetProperty("initial_scale").GetDouble());
    }

    [Fact]
    public void Options_change_the_regularisation_of_a_preset_or_of_the_defaults()
    {
        string data = Pictures.Folder(_folder, "data", 8);
        string[] train = ["train", data, "--output", _folder.File("runs"), "--device", "cpu", "--threads", "1", "--image-size", "16", "--epochs", "1"];
        Programs.Tool.Succeeds([
            .. train, "--name", "all", "--preset", "small-scratch", "--weight-decay", "0", "--label-smoothing", "0.2", "--ema-decay", "0.5", "--crop-scale", "0.6", "--erasing", "0", "--mixup", "0.3",
            "--unmixed-epochs", "1", "--head-learning-rate-scale", "2", "--layer-learning-rate-decay", "0.7",
        ]);
        var settings = Settings("all");
        Assert.Equal(0, settings.GetProperty("weight_decay").GetDouble());
        Assert.Equal(0.2, settings.GetProperty("label_smoothing").GetDouble(), 1e-6);
        Assert.Equal(0.5, settings.GetProperty("ema_decay").GetDouble(), 1e-6);
        Assert.Equal(2, settings.GetProperty("head_learning_rate_scale").GetDouble());
        Assert.Equal(0.7, settings.GetProperty("layer_learning_rate_decay").GetDouble(), 1e-6);
        var augmentation = settings.GetProperty("augmentation");
        Assert.Equal(0, augmentation.GetProperty("crop_padding").GetInt32());
        Assert.Equal(0.6, augmentation.GetProperty("random_resized_crop").GetProperty("minimum_scale").GetDouble(), 1e-6);
        Assert.Equal(0, augmentation.GetProperty("erasing_probability").GetDouble());
        Assert.Equal(0.3, augmentation.GetProperty("mixing").GetProperty("mixup_alpha").GetDouble(), 1e-6);
        Assert.Equal(1, augmentation.GetProperty("mixing").GetProperty("unmixed_epochs").GetInt32());

        Programs.Tool.Succeeds([.. train, "--name", "shifts", "--crop-padding", "1", "--erasing", "0.5"]);
        augmentation = Settings("shifts").GetProperty("augmentation");
        Assert.True(augmentation.GetProperty("horizontal_flip").GetBoolean());
        Assert.Equal(1, augmentation.GetProperty("crop_padding").GetInt32());
        Assert.Equal(0.5, augmentation.GetProperty("erasing_probability").GetDouble(), 1e-6);

        Assert.Contains("--erasing and --mixup need --crop-padding or --crop-scale", Programs.Tool.Fails(2, [.. train, "--mixup", "0.2"]), StringComparison.Ordinal);
        Assert.Contains("--unmixed-epochs needs --mixup", Programs.Tool.Fails(2, [.. train, "--crop-padding", "1", "--unmixed-epochs", "2"]), StringComparison.Ordinal);
        Assert.Contains("--label-smoothing is '1'; it must be a number of 0 or more and less than 1.", Programs.Tool.Fails(2, [.. train, "--label-smoothing", "1"]), StringComparison.Ordinal);
        Assert.Contains("--head-learning-rate-scale is '0'", Programs.Tool.Fails(2, [.. train, "--head-learning-rate-scale", "0"]), StringComparison.Ordinal);
        Assert.Contains("--layer-learning-rate-decay is '1.5'; it must be a number above 0 and at most 1.", Programs.Tool.Fails(2, [.. train, "--layer-learning-rate-decay", "1.5"]), StringComparison.Ordinal);
        Assert.Contains("--weight-decay is '-1'", Programs.Tool.Fails(2, [.. train, "--weight-decay", "-1"]), StringComparison.Ordinal);

        JsonElement Settings(string name) => JsonDocument.Parse(File.ReadAllText(Path.Combine(_folder.File("runs"), name, "args.json"))).RootElement;
    }

    [Fact]
    public void A_preset_that_misses_something_is_refused()
    {
        string data = Pictures.Folder(_folder, "data", 4);
        string[] train = ["train", data, "--output", _folder.File("runs")];
        Assert.Contains("There is no preset named 'papre'. The presets are: paper, ", Programs.Tool.Fails(2, [.. train, "--preset", "papre"]), StringComparison.Ordinal);
        Assert.Contains("--weights", Programs.Tool.Fails(2, [.. train, "--preset", "finetune"]), StringComparison.Ordinal);
        Assert.Contains("--scales", Programs.Tool.Fails(2, [.. train, "--preset", "repopt", "--architecture", "RepOpt-VGG-B1"]), StringComparison.Ordinal);
        var (exitCode, _, error) = Programs.Tool.RunHere([.. train, "--preset", "repopt", "--scales", "scales.safetensors"]);
        Assert.Equal(1, exitCode);
        Assert.Contains("Train it in the form Plain (--training-form), or with another optimizer.", error, StringComparison.Ordinal);
        Assert.Contains("--preset repopt", Programs.Tool.Fails(2, [.. train, "--preset", "paper", "--scales", "scales.safetensors"]), StringComparison.Ordinal);
        Assert.Empty(Directory.Exists(_folder.File("runs")) ? Directory.GetFileSystemEntries(_folder.File("runs")) : []);
    }
}
