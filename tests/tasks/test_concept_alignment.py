# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from safetensors.torch import save_file
from torch import Tensor, nn
from torchgeo.main import main

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.datamodules import ImagePointsDataModule
from torchgeo_concepts.datasets import CachedFeatures, ImagePoints, cache_features
from torchgeo_concepts.models import ConceptEarth, ConceptGeoCLIP, load_image_tower
from torchgeo_concepts.models.image_transforms import CenterCrop, Normalize
from torchgeo_concepts.retrieval.geolocator import Geolocator
from torchgeo_concepts.tasks import ConceptAlignment
from torchgeo_concepts.tasks.losses import InfoNCE

TESTS = Path(__file__).parents[1]

pytestmark = [
    # Lightning's advice on loggers and loaders is not ours to follow in a test.
    pytest.mark.filterwarnings('ignore:.*does not have many workers'),
    pytest.mark.filterwarnings('ignore:.*tensorboard'),
    pytest.mark.filterwarnings('ignore:.*concept basis is random'),
    pytest.mark.filterwarnings('ignore:.*Checkpoint directory'),
    pytest.mark.filterwarnings('ignore:.*`isinstance.treespec'),
    pytest.mark.filterwarnings('ignore:.*module.s. in eval mode'),
    pytest.mark.filterwarnings('ignore:The dirpath has changed'),
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter"),
]

SMALL = {'num_frequencies': 64, 'hidden_dim': 64, 'embed_dim': 32}


@pytest.fixture(scope='module')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('photos')
    runpy.run_path(str(TESTS / 'data' / 'regional_photos' / 'data.py'))['create'](root)
    ConceptBank(list(ConceptBank.default())[:24]).save(root / 'bank.csv')
    return root


def data(photos: Path, **kwargs: Any) -> ImagePointsDataModule:
    kwargs = {'batch_size': 48, 'val_fraction': 0.2, 'augment': False} | kwargs
    images = ImagePoints(photos, photos / 'photos.csv')
    return ImagePointsDataModule(images, images, image_size=32, **kwargs)


def task(photos: Path, **kwargs: Any) -> ConceptAlignment:
    options: dict[str, Any] = {
        'image_tower': 'timm/test_resnet',
        'freeze': [],
        'location_encoder': 'geoclip_location',
        'location_weights': None,
        'location_kwargs': SMALL,
        'bank': str(photos / 'bank.csv'),
        'align': 'z',
        'image_projection': 'mlp',
        'optimizer': {'lr': 1e-3},
        'gallery': str(photos / 'photos.csv'),
    } | kwargs
    options['loss'] = {'divergence_weight': 1.0, 'queue_size': 64} | options.get(
        'loss', {}
    )
    return ConceptAlignment(**options)


def trainer(**kwargs: Any) -> Trainer:
    quiet: dict[str, Any] = {
        'accelerator': 'cpu',
        'logger': False,
        'enable_checkpointing': False,
        'enable_progress_bar': False,
        'enable_model_summary': False,
    }
    return Trainer(**(quiet | kwargs))


class TestLearning:
    @pytest.mark.parametrize(
        ('image_projection', 'divergence'),
        [('mlp', 'paper'), ('tied', 'cauchy_schwarz'), ('tied', 'mmd')],
    )
    def test_finds_the_region_of_held_out_photos(
        self, photos: Path, image_projection: str, divergence: str
    ) -> None:
        seed_everything(0)
        model = task(
            photos, loss={'divergence': divergence}, image_projection=image_projection
        )
        run = trainer(max_epochs=10)
        run.fit(model, data(photos))
        # By chance, an eighth: there are eight regions, thousands of km apart.
        assert run.callback_metrics['val_acc@750km'] > 0.9
        assert run.callback_metrics['val_median_km'] < 500
        assert 0 < run.callback_metrics['val_concept_entropy'] <= 1
        assert run.callback_metrics['drift_min'] < 1

    def test_untrained_finds_little(self, photos: Path) -> None:
        seed_everything(0)
        run = trainer()
        run.validate(task(photos), data(photos), verbose=False)
        assert run.callback_metrics['val_acc@750km'] < 0.4

    def test_augmented(self, photos: Path) -> None:
        seed_everything(0)
        run = trainer(max_epochs=1)
        run.fit(task(photos, loss={'symmetric': True}), data(photos, augment=True))
        plain = trainer(max_epochs=1)
        seed_everything(0)
        plain.fit(task(photos, loss={'symmetric': True}), data(photos))
        assert run.callback_metrics['train_loss'] > 0
        assert (
            run.callback_metrics['train_loss'] != plain.callback_metrics['train_loss']
        )


class OfFeatures(nn.Module):
    """GeoCLIP's image encoder without CLIP, which takes what CLIP would make."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(768, 768), nn.ReLU(), nn.Linear(768, 512))

    def forward(self, features: Tensor) -> Tensor:
        embedding: Tensor = self.mlp(features)
        return embedding


class TestIsGeoCLIP:
    @pytest.fixture
    def geoclip_task(self, photos: Path) -> ConceptAlignment:
        return ConceptAlignment(
            'features/768',
            head_weights='GeoCLIPImageMLP_Weights.MP16',
            location_encoder='geoclip_location',
            location_weights='GeoCLIPLocation_Weights.MP16',
            loss={'logit_scale': 'GeoCLIPLogitScale_Weights.MP16'},
            bank=str(photos / 'bank.csv'),
            align='x',
        )

    def test_same_logits(self, geoclip_task: ConceptAlignment) -> None:
        import geoclip

        # The package's model on its own weights, but for CLIP, which no package has.
        theirs = geoclip.GeoCLIP.__new__(geoclip.GeoCLIP)
        nn.Module.__init__(theirs)
        theirs.image_encoder = OfFeatures()
        theirs.location_encoder = geoclip.LocationEncoder(from_pretrained=False)
        theirs.logit_scale = nn.Parameter(torch.zeros([]))
        theirs.weights_folder = f'{geoclip.__path__[0]}/model/weights'
        theirs._load_weights()
        features = torch.randn(20, 768, generator=torch.Generator().manual_seed(0))
        points = torch.rand(50, 2) * torch.tensor([360, 180]) - torch.tensor([180, 90])
        with torch.no_grad():
            expected = theirs(features, points.flip(1))
            model = geoclip_task.model
            aligned = model(features, points)
            logits = geoclip_task.contrast.scale * model.alignment.similarity(aligned)
        assert expected.std() > 1
        assert (logits - expected).abs().max() <= 1e-4

    def test_loss_is_cross_entropy_of_the_logits(
        self, geoclip_task: ConceptAlignment
    ) -> None:
        features, points = torch.randn(8, 768), torch.rand(8, 2) * 80
        parts = geoclip_task.losses(features, points)
        aligned = geoclip_task.model(features, points)
        logits = geoclip_task.contrast.scale * (
            geoclip_task.model.alignment.similarity(aligned)
        )
        torch.testing.assert_close(
            parts['loss'], F.cross_entropy(logits, torch.arange(8))
        )
        assert set(parts) == {'contrast', 'loss', 'retrieval'}

    def test_basis_is_idle(self, geoclip_task: ConceptAlignment) -> None:
        alignment = geoclip_task.model.alignment
        assert not any(p.requires_grad for p in alignment.parameters())
        assert all(p.requires_grad for p in geoclip_task.model.encoder.parameters())


class TestCheckpoints:
    @pytest.mark.parametrize('num_workers', [0, 1])
    def test_resumes_bit_for_bit(
        self, photos: Path, tmp_path: Path, num_workers: int
    ) -> None:
        def fit(epochs: int, name: str, resume: Path | None = None) -> Path:
            seed_everything(7)
            checkpoints = ModelCheckpoint(
                tmp_path / name, save_last=True, save_on_train_epoch_end=True
            )
            run = trainer(
                max_epochs=epochs, enable_checkpointing=True, callbacks=[checkpoints]
            )
            # Random crops are part of what must come out the same.
            images = data(photos, augment=True, num_workers=num_workers)
            run.fit(task(photos), images, ckpt_path=resume)
            return tmp_path / name / 'last.ckpt'

        whole = torch.load(fit(3, 'whole'), weights_only=True)
        half = fit(2, 'half')
        resumed = torch.load(fit(3, 'resumed', half), weights_only=True)
        assert whole['epoch'] == resumed['epoch'] == 2
        for name, value in whole['state_dict'].items():
            assert value.equal(resumed['state_dict'][name]), name
        before = torch.load(half, weights_only=True)['state_dict']
        name = 'model.alignment.basis.offset'
        assert not before[name].equal(whole['state_dict'][name])

    def test_loads_without_the_files_it_was_made_of(
        self, photos: Path, tmp_path: Path
    ) -> None:
        model = task(photos, loss={'logit_scale': 'GeoCLIPLogitScale_Weights.MP16'})
        run = trainer(max_epochs=1)
        run.fit(model, data(photos))
        run.save_checkpoint(tmp_path / 'model.ckpt')
        state = torch.load(tmp_path / 'model.ckpt', weights_only=True)
        for name in ('bank', 'gallery', 'image_weights'):
            assert name not in state['hyper_parameters']
        assert 'logit_scale' not in state['hyper_parameters']['loss']
        loaded = ConceptAlignment.load_from_checkpoint(tmp_path / 'model.ckpt')
        assert loaded.contrast.scale == model.contrast.scale != InfoNCE().scale

    def test_training_on_has_a_seed_of_its_own(
        self, photos: Path, tmp_path: Path
    ) -> None:
        run = trainer(max_epochs=1)
        run.fit(task(photos), data(photos))
        run.save_checkpoint(tmp_path / 'model.ckpt')
        losses = []
        for seed in (1, 2):
            loaded = ConceptAlignment.load_from_checkpoint(tmp_path / 'model.ckpt')
            seed_everything(seed)
            run = trainer(max_epochs=1)
            run.fit(loaded, data(photos, augment=True))
            losses.append(run.callback_metrics['train_loss'])
        assert losses[0] != losses[1]

    def test_loads_alone(self, photos: Path, tmp_path: Path) -> None:
        model = task(photos)
        run = trainer(max_epochs=1)
        run.fit(model, data(photos))
        run.save_checkpoint(tmp_path / 'model.ckpt')
        # The bank of the checkpoint is in it, and no file of the run is needed.
        loaded = ConceptAlignment.load_from_checkpoint(tmp_path / 'model.ckpt')
        assert loaded.bank == model.bank
        images = torch.rand(2, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(
                loaded.eval().model.embed_images(images),
                model.eval().model.embed_images(images),
            )
        model_of_points = ConceptGeoCLIP(
            loaded.model.encoder, loaded.model.alignment.basis
        )
        model_of_points.save(tmp_path / 'encoder.safetensors')
        encoder = ConceptGeoCLIP.load(tmp_path / 'encoder.safetensors')
        points = torch.tensor([[2.35, 48.86]])
        with torch.no_grad():
            expected = model.model.alignment.basis(model.model.encoder(points))
            torch.testing.assert_close(encoder.project(points), expected)

    @pytest.mark.parametrize('truncate_dim', [None, 4])
    def test_encoder_of_a_file_that_is_gone(
        self, photos: Path, tmp_path: Path, truncate_dim: int | None
    ) -> None:
        file = tmp_path / 'earth.safetensors'
        ConceptEarth(
            ConceptBank(list(ConceptBank.default())[:3]), hidden_dim=8, rows=(6,),
            grid_features=(4,), num_waves=4, embed_dim=8, num_components=6,
        ).save(file)  # fmt: skip
        model = task(
            photos,
            location_encoder=str(file),
            location_kwargs={'truncate_dim': truncate_dim},
        )
        self.check_reload(model, photos, tmp_path / 'model.ckpt', file)

    def test_released_encoder(self, photos: Path, tmp_path: Path) -> None:
        # Its weights have another bank than a model with random weights.
        model = task(
            photos,
            location_encoder='concept_earth',
            location_weights='ConceptEarth_Weights.GROUNDED',
            location_kwargs=None,
        )
        self.check_reload(model, photos, tmp_path / 'model.ckpt')

    def check_reload(
        self,
        model: ConceptAlignment,
        photos: Path,
        path: Path,
        file: Path | None = None,
    ) -> None:
        points = torch.tensor([[2.35, 48.86], [-60.0, -3.0]])
        before = model.model.embed_points(points).detach()
        run = trainer(max_steps=1, limit_val_batches=0)
        run.fit(model, data(photos))
        run.save_checkpoint(path)
        if file is not None:
            file.unlink()
        loaded = ConceptAlignment.load_from_checkpoint(path, weights_only=True)
        with torch.no_grad():
            trained = model.eval().model.embed_points(points)
            assert loaded.eval().model.embed_points(points).equal(trained)
        assert not trained.allclose(before, atol=1e-6)
        # Distributed training would wait for gradients of what embeddings do not use.
        model.losses(torch.rand(4, 3, 32, 32), torch.rand(4, 2))['loss'].backward()
        for name, parameter in model.model.encoder.named_parameters():
            assert parameter.requires_grad == (parameter.grad is not None), name


class TestLoss:
    """Every option of the loss reaches it, with the right sign."""

    IMAGES, POINTS = torch.randn(6, 3, 32, 32), torch.rand(6, 2) * 80

    def test_queue_points_are_negatives(self, photos: Path) -> None:
        model = task(photos, loss={'divergence_weight': 0, 'queue_noise_km': 0}).train()
        queued = torch.rand(5, 2) * -80
        model.queue.push(queued)
        parts = model.losses(self.IMAGES, self.POINTS)
        z_image, z_location = model.model.alignment.pairs(
            model.model(self.IMAGES, torch.cat((self.POINTS, queued)))
        )[0]
        logits = model.contrast.scale * z_image @ z_location.T
        expected = F.cross_entropy(logits, torch.arange(6))
        torch.testing.assert_close(parts['loss'], expected)
        without = F.cross_entropy(logits[:, :6], torch.arange(6))
        assert parts['loss'] > without + 1e-3

    @pytest.mark.parametrize('weight', [0.5, 3.0])
    def test_divergence_weight(self, photos: Path, weight: float) -> None:
        model = task(photos, loss={'divergence_weight': weight, 'sigma': 0.5}).eval()
        parts = model.losses(self.IMAGES, self.POINTS)
        aligned = model.model(self.IMAGES, self.POINTS)
        difference = aligned.z_image.mean(dim=0) - aligned.z_location.mean(dim=0)
        divergence = difference.square().sum() / 0.5**2
        assert divergence > 1e-3
        torch.testing.assert_close(
            parts['loss'], parts['contrast'] + weight * divergence
        )

    def test_drift_costs(self, photos: Path) -> None:
        model = task(photos, loss={'divergence_weight': 0, 'drift_weight': 4.0}).eval()
        basis = model.model.alignment.basis
        start = model.losses(self.IMAGES, self.POINTS)
        torch.testing.assert_close(start['loss'], start['contrast'])
        with torch.no_grad():
            basis.offset.add_(torch.randn_like(basis.offset))
        parts = model.losses(self.IMAGES, self.POINTS)
        moved = F.cosine_similarity(basis.initial + basis.offset, basis.initial, dim=0)
        penalty = 1 - moved.mean()
        assert penalty > 0.1
        torch.testing.assert_close(parts['loss'], parts['contrast'] + 4 * penalty)


def run_torchgeo(command: str, photos: Path, logs: Path, *options: str) -> list[str]:
    images = f'{{root: {photos}, table: {photos}/photos.csv}}'
    return [
        command,
        '--config',
        str(TESTS / 'conf' / 'concept_alignment.yaml'),
        f'--model.init_args.bank={photos}/bank.csv',
        f'--model.init_args.gallery={photos}/photos.csv',
        f'--data.init_args.train.init_args={images}',
        f'--data.init_args.test.init_args={images}',
        f'--trainer.default_root_dir={logs}',
        *options,
    ]


class TestTorchGeo:
    def test_fit_test_and_predict(
        self, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(run_torchgeo('fit', photos, tmp_path))
        (checkpoint,) = tmp_path.rglob('*.ckpt')
        metrics = pd.read_csv(next(tmp_path.rglob('metrics.csv')))
        for name in (
            'train_contrast',
            'train_divergence',
            'train_retrieval',
            'train_scale',
            'drift_mean',
            'val_loss',
            'val_median_km',
            'val_acc@25km',
            'val_concept_entropy',
        ):
            assert metrics[name].notna().any(), name
        capsys.readouterr()
        options = f'--ckpt_path={checkpoint}', '--trainer.logger=false'
        main(run_torchgeo('test', photos, tmp_path, *options))
        table = capsys.readouterr().out
        assert 'Among 480 candidates' in table
        assert '| Street 1 km | City 25 km | Region 200 km | Country 750 km |' in table
        drop = '--model.init_args.drop_test_points=true'
        with pytest.raises(ValueError, match='no candidate left'):
            main(run_torchgeo('test', photos, tmp_path, *options, drop))
        main(run_torchgeo('predict', photos, tmp_path, *options))

    def test_two_processes_train_as_one(self, photos: Path, tmp_path: Path) -> None:
        losses = {}
        for processes in (1, 2):
            logs = tmp_path / str(processes)
            arguments = run_torchgeo('fit', photos, logs)
            arguments += [
                f'--data.init_args.batch_size={64 // processes}',
                f'--trainer.devices={processes}',
                '--trainer.strategy=' + ('auto' if processes == 1 else 'ddp'),
                # Statistics of batches would be those of half of it.
                '--model.init_args.image_tower=timm/test_vit',
                '--data.init_args.image_size=160',
                '--trainer.max_steps=4',
            ]
            if processes == 1:
                main(arguments)
            else:
                command = [sys.executable, '-m', 'torchgeo', *arguments]
                subprocess.run(command, check=True, timeout=300)
            metrics = pd.read_csv(next(logs.rglob('metrics.csv')))
            losses[processes] = metrics['train_loss'].dropna().to_numpy()
        assert len(losses[1]) == 4
        assert losses[1][0] != losses[1][-1]
        assert abs(losses[1] - losses[2]).max() <= 1e-5


class TestCachedFeatures:
    @pytest.fixture
    def cached(self, photos: Path, tmp_path: Path) -> CachedFeatures:
        tower = load_image_tower('timm/test_resnet')
        images = ImagePoints(photos, photos / 'photos.csv', transforms=CenterCrop(32))
        return cache_features(images, tower, tmp_path / 'cache', prepare=Normalize())

    def test_trains_and_tests(self, photos: Path, cached: CachedFeatures) -> None:
        model = task(photos, image_tower=f'features/{cached.num_features}')
        run = trainer(max_epochs=2)
        datamodule = ImagePointsDataModule(cached, cached, batch_size=48)
        run.fit(model, datamodule)
        run.test(model, datamodule, verbose=False)
        assert run.callback_metrics['test_acc@2500km'] > 0.2

    def test_of_another_backbone(self, photos: Path, cached: CachedFeatures) -> None:
        datamodule = ImagePointsDataModule(cached, cached, batch_size=48)
        with pytest.raises(ValueError, match='come from another backbone'):
            trainer(max_epochs=1).fit(task(photos), datamodule)
        with pytest.raises(ValueError, match='The tower expects 7 features'):
            trainer().test(task(photos, image_tower='features/7'), datamodule)

    def test_mixed_with_those_of_another_backbone(
        self, photos: Path, cached: CachedFeatures, tmp_path: Path
    ) -> None:
        torch.manual_seed(9)
        images = ImagePoints(photos, photos / 'photos.csv', transforms=CenterCrop(32))
        tower = load_image_tower('timm/test_resnet')
        other = cache_features(images, tower, tmp_path / 'other', prepare=Normalize())
        model = task(photos, image_tower=f'features/{cached.num_features}')
        run = trainer(max_epochs=1)
        run.fit(model, ImagePointsDataModule(cached, batch_size=48))
        run.save_checkpoint(tmp_path / 'model.ckpt')
        loaded = ConceptAlignment.load_from_checkpoint(tmp_path / 'model.ckpt')
        with pytest.raises(ValueError, match='than the features that this model'):
            trainer().test(loaded, ImagePointsDataModule(test=other))
        fresh = task(photos, image_tower=f'features/{cached.num_features}')
        with pytest.raises(ValueError, match='than the features that this model'):
            trainer().test(
                fresh,
                ImagePointsDataModule(test=other),
                ckpt_path=tmp_path / 'model.ckpt',
            )

    def test_images_need_a_backbone(self, photos: Path) -> None:
        with pytest.raises(
            ValueError, match='has no backbone and takes cached features'
        ):
            trainer().test(task(photos, image_tower='features/7'), data(photos))


class TestGeolocator:
    @pytest.mark.parametrize('unit', [True, False])
    @pytest.mark.parametrize('align', ['x', 'z', 'both'])
    def test_searches_as_it_was_trained(
        self, photos: Path, align: str, unit: bool
    ) -> None:
        torch.manual_seed(0)
        model = task(photos, align=align, unit=unit)
        points = torch.rand(30, 2) * 80
        images = torch.rand(4, 3, 32, 32) * 255
        locator = model.geolocator(points)
        locator.preprocess = lambda image: image / 255
        found = locator.predict(images, top_k=30)
        with torch.no_grad():
            aligned = model.eval().model(images / 255, points)
            similarity = model.model.alignment.similarity(aligned)
        best, order = similarity.sort(dim=1, descending=True)
        torch.testing.assert_close(found.similarity, best, atol=2e-3, rtol=1e-2)
        assert found.points[:, 0].equal(points[order[:, 0]])
        assert locator.scale == pytest.approx(1 / 0.07, rel=1e-3)

    def test_candidates_by_name(self, photos: Path) -> None:
        gallery = task(photos).geolocator('land:1500').gallery
        assert len(gallery) > 50
        assert gallery.area_km2 == 1500**2

    def test_photos_whose_place_is_not_known(
        self, photos: Path, tmp_path: Path
    ) -> None:
        for number in range(3):
            image = (photos / 'images' / f'{number:04}.png').read_bytes()
            (tmp_path / f'{number}.png').write_bytes(image)
        unknown = ImagePoints(tmp_path, require_points=False)
        datamodule = ImagePointsDataModule(predict=unknown, image_size=32)
        predictions: Any = trainer().predict(task(photos), datamodule)
        found = torch.cat(predictions)
        assert found.shape == (3, 2)
        assert found.isfinite().all()

    def test_gallery_of_another_model(self, photos: Path) -> None:
        one, other = task(photos), task(photos)
        gallery = one.geolocator(torch.rand(5, 2)).gallery
        with pytest.raises(ValueError, match='Another model encoded the gallery'):
            Geolocator(other.model, gallery)


class TestArguments:
    def test_other_location_encoders(self, photos: Path) -> None:
        model = task(photos, location_encoder='satclip', location_kwargs=None)
        aligned = model.model(torch.rand(2, 3, 32, 32), torch.rand(2, 2))
        assert aligned.x_image.shape == aligned.x_location.shape

    def test_arguments_beside_weights(self, photos: Path) -> None:
        with pytest.raises(ValueError, match=r'weights determine \[.*leave them out'):
            task(photos, location_weights='GeoCLIPLocation_Weights.MP16')

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'loss': {'sigmoid': 1}}, "LossOptions has no option 'sigmoid'.*'sigma'"),
            ({'optimizer': {'lrr': 1}}, "OptimizerOptions has no option 'lrr'.*'lr'"),
            ({'freeze': ['tail']}, "freeze must be one of .* not 'tail'"),
        ],
    )
    def test_unknown_options(
        self, photos: Path, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            task(photos, **options)

    def test_unknown_divergence(self, photos: Path) -> None:
        with pytest.raises(ValueError, match="not 'kl'"):
            task(photos, loss={'divergence': 'kl'})

    def test_unknown_location_encoder(self, photos: Path) -> None:
        with pytest.raises(ValueError, match='geoclip_locatoin.*geoclip_location'):
            task(photos, location_encoder='geoclip_locatoin')

    def test_no_location_encoder(self, photos: Path) -> None:
        with pytest.raises(ValueError, match='ResNet is not a location encoder'):
            task(photos, location_encoder='resnet18', location_kwargs={})

    def test_frozen_parts(self, photos: Path) -> None:
        model = task(
            photos, freeze=['backbone', 'head', 'location_encoder', 'logit_scale']
        )
        trained = [name for name, p in model.named_parameters() if p.requires_grad]
        assert trained == ['model.alignment.basis.offset'] + [
            f'model.alignment.image_mlp.{i}.{kind}'
            for i in (0, 2)
            for kind in ('weight', 'bias')
        ]
        assert not model.model.encoder.training
        assert model.model.alignment.training

    def test_text_embeddings(self, photos: Path, tmp_path: Path) -> None:
        file = tmp_path / 'text.safetensors'
        directions = torch.randn(24, 32)
        save_file({'directions': directions}, file)
        basis = task(photos, text_embeddings=str(file)).model.alignment.basis
        assert basis.source == 'text embeddings'
        torch.testing.assert_close(basis.initial, F.normalize(directions, dim=1).T)
        with pytest.raises(FileNotFoundError, match='No file .* text_embeddings'):
            task(photos, text_embeddings=str(tmp_path / 'none.safetensors'))
        save_file({'other': directions}, file)
        with pytest.raises(
            ValueError, match=r"no tensor 'directions', only \['other'\]"
        ):
            task(photos, text_embeddings=str(file))

    def test_curated_and_general_bank(self, photos: Path) -> None:
        assert task(photos, bank=None).bank == ConceptBank.default()
        assert task(photos, bank='general').bank == ConceptBank.general()

    def test_area_of_a_lattice(self, photos: Path, tmp_path: Path) -> None:
        run = trainer(logger=CSVLogger(tmp_path))
        run.test(task(photos, gallery='land:500'), data(photos), verbose=False)
        recall = [
            float(run.callback_metrics[f'test_recall@1{"0" * n}km2'])
            for n in range(2, 8)
        ]
        # No area smaller than that of a candidate is searched; more area, more recall.
        assert recall == sorted(recall)
        assert recall[:4] == [0.0] * 4
        assert recall[-1] > 0

    def test_warns_of_random_numbers(self, photos: Path) -> None:
        run = trainer(fast_dev_run=True)
        with (
            pytest.warns(
                UserWarning, match='test_resnet is frozen with random weights'
            ),
            pytest.warns(UserWarning, match='concept basis is random'),
        ):
            run.fit(task(photos, freeze=['backbone']), data(photos))


class TestWhatIsContrasted:
    @pytest.mark.parametrize('align', ['x', 'both'])
    def test_mean_similarity(self, photos: Path, align: str) -> None:
        model = task(
            photos,
            align=align,
            loss={'contrasted': 'mean', 'queue_size': 0, 'divergence_weight': 0},
        ).eval()
        images, points = torch.randn(6, 3, 32, 32), torch.rand(6, 2) * 80
        with torch.no_grad():
            aligned = model.model(images, points)
            similar = model.model.alignment.similarity(aligned)
            expected = F.cross_entropy(
                similar * model.contrast.scale, torch.arange(len(points))
            )
            torch.testing.assert_close(
                model.losses(images, points)['contrast'], expected
            )

    def test_each_by_itself(self, photos: Path) -> None:
        model = task(photos, align='both', loss={'queue_size': 0}).eval()
        images, points = torch.randn(6, 3, 32, 32), torch.rand(6, 2) * 80
        with torch.no_grad():
            pairs = model.model.alignment.pairs(model.model(images, points))
            losses = [model.contrast(*pair, pair[1][:0]) for pair in pairs]
            expected = torch.stack(losses).mean()
            torch.testing.assert_close(
                model.losses(images, points)['contrast'], expected
            )

    def test_by_default_both_on_one_basis(self, photos: Path) -> None:
        model = ConceptAlignment(
            'timm/test_resnet',
            location_encoder='geoclip_location',
            location_weights=None,
            location_kwargs=SMALL,
            bank=str(photos / 'bank.csv'),
            gallery=str(photos / 'photos.csv'),
        )
        images, points = torch.randn(6, 3, 32, 32), torch.rand(6, 2) * 80
        parts = model.eval().losses(images, points)
        assert 'divergence' not in parts
        aligned = model.model(images, points)
        assert len(model.model.alignment.pairs(aligned)) == 2
        basis = model.model.alignment.basis
        torch.testing.assert_close(aligned.z_image, basis(aligned.x_image))

    def test_unknown(self, photos: Path) -> None:
        with pytest.raises(ValueError, match=r"contrasted must be one of .*'some'"):
            task(photos, loss={'contrasted': 'some'})
