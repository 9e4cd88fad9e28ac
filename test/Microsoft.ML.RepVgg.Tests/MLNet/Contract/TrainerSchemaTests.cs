using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Trainers;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Which schemas a trainer takes, in which words it refuses others, and what it says it will add.</summary>
public sealed class TrainerSchemaTests
{
    public sealed class Row
    {
        public string Text { get; set; } = "";

        public float Number { get; set; }

        [KeyType(3)]
        public byte ByteKey { get; set; }

        [KeyType(3)]
        public uint Label { get; set; }

        [VectorType(2)]
        public float[] Features { get; set; } = [];

        public float[] Variable { get; set; } = [];

        [VectorType(2)]
        public double[] Doubles { get; set; } = [];
    }

    [Theory]
    [InlineData("Label", "Features", null, null)]
    [InlineData("Label", "Features", "Number", null)]
    [InlineData("Absent", "Features", null, "Could not find label column 'Absent'")]
    [InlineData("Label", "Absent", null, "Could not find feature column 'Absent'")]
    [InlineData("Label", "Features", "Absent", "Could not find weight column 'Absent'")]
    [InlineData("Text", "Features", null, "Schema mismatch for label column 'Text': expected Key<UInt32>, got String")]
    [InlineData("Number", "Features", null, "Schema mismatch for label column 'Number': expected Key<UInt32>, got Single")]
    [InlineData("ByteKey", "Features", null, "Schema mismatch for label column 'ByteKey': expected Key<UInt32>, got Key<Byte>")]
    [InlineData("Label", "Variable", null, "Schema mismatch for feature column 'Variable': expected Vector<Single>, got VarVector<Single>")]
    [InlineData("Label", "Doubles", null, "Schema mismatch for feature column 'Doubles': expected Vector<Single>, got Vector<Double>")]
    [InlineData("Label", "Number", null, "Schema mismatch for feature column 'Number': expected Vector<Single>, got Single")]
    [InlineData("Label", "Features", "Text", "Schema mismatch for weight column 'Text': expected Single, got String")]
    public void ColumnsAreCheckedBeforeTrainingAndInTheShape(string label, string feature, string? weight, string? message)
    {
        MLContext context = new(1);
        IDataView view = context.Data.LoadFromEnumerable(
        [
            new Row { Label = 0, Features = [1, 0], Number = 1, Variable = [1], Doubles = [1, 2] },
            new Row { Label = 1, Features = [0, 1], Number = 1, Variable = [1], Doubles = [1, 2] },
        ]);
        var trainer = context.MulticlassClassification.Trainers.LbfgsMaximumEntropy(label, feature, weight);

        if (message is null)
        {
            Assert.NotNull(trainer.Fit(view));
            Assert.NotNull(trainer.GetOutputSchema(ShapeProbe.Of(view)));
            return;
        }

        Assert.Contains(message, Assert.Throws<ArgumentOutOfRangeException>(() => trainer.Fit(view)).Message);
        Assert.Contains(
            message,
            Assert.Throws<ArgumentOutOfRangeException>(() => trainer.GetOutputSchema(ShapeProbe.Of(view))).Message);
    }

    [Fact]
    public void TheShapeForetellsTheColumns()
    {
        MLContext context = new(1);
        IDataView view = context.Data.LoadFromEnumerable([new Row { Text = "a", Features = [1, 0] }]);
        IDataView keyed = context.Transforms.Conversion.MapValueToKey("Class", "Text").Fit(view).Transform(view);
        var trainer = context.MulticlassClassification.Trainers.LbfgsMaximumEntropy("Class");

        SchemaShape shape = trainer.GetOutputSchema(ShapeProbe.Of(keyed));

        SchemaShape.Column score = shape.Single(column => column.Name == "Score");
        SchemaShape.Column predicted = shape.Single(column => column.Name == "PredictedLabel");
        Assert.Equal((SchemaShape.Column.VectorKind.Vector, false), (score.Kind, score.IsKey));
        Assert.Equal(NumberDataViewType.Single, score.ItemType);
        Assert.Equal((SchemaShape.Column.VectorKind.Scalar, true), (predicted.Kind, predicted.IsKey));
        Assert.Equal(NumberDataViewType.UInt32, predicted.ItemType);
        Assert.Equal(
            ["ScoreColumnKind", "ScoreColumnSetId", "ScoreValueKind", "SlotNames", "TrainingLabelValues"],
            score.Annotations.Select(column => column.Name).Order(StringComparer.Ordinal));
        Assert.Equal(
            ["KeyValues", "ScoreColumnKind", "ScoreColumnSetId", "ScoreValueKind"],
            predicted.Annotations.Select(column => column.Name).Order(StringComparer.Ordinal));
        Assert.Equal(keyed.Schema.Count + 2, shape.Count);
    }

    [Fact]
    public void TheTrainerSaysWhatItWants()
    {
        LbfgsMaximumEntropyMulticlassTrainer trainer =
            new MLContext(1).MulticlassClassification.Trainers.LbfgsMaximumEntropy("L", "F", "W");

        Assert.Equal((true, true), (trainer.Info.NeedNormalization, trainer.Info.WantCaching));
        Assert.Equal(("L", "F", "W"), (trainer.LabelColumn.Name, trainer.FeatureColumn.Name, trainer.WeightColumn.Name));
        Assert.True(trainer.LabelColumn.IsKey);
        Assert.Equal(SchemaShape.Column.VectorKind.Vector, trainer.FeatureColumn.Kind);
    }
}
